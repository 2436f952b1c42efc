"""How much the lists of the operations hold where nobody says how much is wanted."""

from tests.support.aws import put

from tunehook.deliveries import new_delivery
from tunehook.operations.deliveries import list_deliveries
from tunehook.operations.stack import Stack
from tunehook.operations.subscriptions import latest_deliveries
from tunehook.operations.tasks import list_tasks
from tunehook.tasks import Format


def deliver(stack: Stack, count: int) -> None:
    for number in range(count):
        stack.deliveries.create(
            new_delivery(
                event_id=f"evt_{number}",
                subscription_id="sub-2",
                task_id="task-1",
                provider="suno",
                type="task.completed",
                event_at_ms=1,
                format=Format.STANDARD,
                payload="{}",
                now_ms=number,
            )
        )


def test_fifty_deliveries_are_listed(found: Stack) -> None:
    deliver(found, 51)
    assert len(list_deliveries(found, subscription="sub-2")) == 50


def test_a_subscription_shows_its_latest_ten(found: Stack) -> None:
    put("SubscriptionsTable", {"subscription_id": "sub-2", "url": "https://x.example/hook"})
    deliver(found, 11)
    assert len(latest_deliveries(found, "sub-2")) == 10


def test_fifty_tasks_are_listed(found: Stack) -> None:
    for number in range(51):
        put("TasksTable", {"task_id": f"t-{number}", "provider": "suno"})
    page = list_tasks(found)
    assert (len(page.tasks), page.total) == (50, 52)
