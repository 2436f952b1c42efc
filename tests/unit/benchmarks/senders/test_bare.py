import aiohttp
from benchmarks.senders import __main__ as command
from benchmarks.senders.bare import BareLoop
from benchmarks.senders.measuring import Measurement, Sizes
from benchmarks.senders.receiver import Receiver

SIZES = Sizes(count=20, rate=500, seconds=0.04, clients=2, body_bytes=30)


async def test_the_bare_loop_delivers_and_is_another_process() -> None:
    async with aiohttp.ClientSession() as session, Receiver() as receiver, BareLoop(session) as loop:
        measured = Measurement(loop, receiver, SIZES, lambda: loop.pids, say=lambda _line: None)
        found = await measured.drain()
        (before,) = loop.pids
        await loop.kill()
        assert loop.pids != [before]
        found |= await measured.latency()
    assert (found["drained"].value, found["drain_lost"].value) == (20, 0)
    assert isinstance(found["memory"].value, float)
    assert found["signature_python"].value is None


async def test_a_run_of_the_command_makes_a_column() -> None:
    (column,) = await command.measure(
        command.parser().parse_args(["bare", "--count", "10", "--only", "drain"])
    )
    assert column.sender == "bare loop"
    assert column.cells["drained"].value == 10
    assert set(column.cells) == {"drained", "drain_rate", "drain_lost"}
