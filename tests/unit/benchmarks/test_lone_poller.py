from benchmarks.lone_poller import PendingItem

from tunehook.aws.task_items import pending_task
from tunehook.tasks import TaskKey, work_queue


def test_its_tasks_are_what_intake_leaves_in_the_work_index() -> None:
    task = pending_task(PendingItem("task-1", "gw", 1_800_000_000_000, shard=3).attributes())
    assert (task.key, task.queue) == (TaskKey("task-1", "gw"), work_queue(3))
    assert task.since_ms == task.submitted_at_ms == 1_800_000_000_000
    assert task.deadline_ms > task.since_ms


def test_a_provider_may_have_had_a_task_for_a_while() -> None:
    task = pending_task(
        PendingItem("task-1", "gw", 1_800_000_020_000, provider_has_it_ms=20_000).attributes()
    )
    assert (task.since_ms, task.submitted_at_ms) == (1_800_000_020_000, 1_800_000_000_000)
