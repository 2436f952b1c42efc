import threading

from tests.support.patience import HANG_S

from tunehook.executors import UnawaitedThreads


def test_the_end_waits_for_no_call_and_what_has_not_begun_is_dropped() -> None:
    begun, released, over = threading.Event(), threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        released.wait(HANG_S)
        over.set()

    threads = UnawaitedThreads(1)
    hanging = threads.submit(hang)
    waiting = threads.submit(hang)
    assert begun.wait(HANG_S)
    threads.shutdown(wait=True)
    assert not over.is_set()
    assert (hanging.done(), waiting.cancelled()) == (False, True)
    released.set()
    hanging.result(HANG_S)
