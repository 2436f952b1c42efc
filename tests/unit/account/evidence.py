"""Evidence of a run in which everything held, for judges to look at and tests to spoil."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.account.evidence import HOOK, MAIN, REFUSING, BusEvent, Evidence, Link, StoredObject, Webhook
from tests.account.judges import API_ANSWERS, CALLED, EVENT_OF, FUNCTIONS, WEBHOOK_OF, is_told
from tests.account.tasks import FAILS_FOR, TASKS, SmokeTask, Way

TEXT_REPORT = (
    "REPORT RequestId: 3f Duration: 812.44 ms Billed Duration: 813 ms Memory Size: 512 MB Max Memory Used: 97 MB\t"
    "Init Duration: 611.20 ms\t\n"
)
METRIC_LINE = (
    '{"_aws": {"Timestamp": 1, "CloudWatchMetrics": [{"Namespace": "tunehook", "Dimensions": [["service"]],'
    ' "Metrics": [{"Name": "Passes", "Unit": "Count"}]}]}, "service": "poller", "Passes": 1}'
)
REDELIVERED = f"msg_main-{TASKS[0].task_id}"


def good_evidence() -> Evidence:
    """Return it: of a real account, with tracing off and nothing out of order."""
    assets = {task.task_id: list(assets_of(task)) for task in TASKS}
    return Evidence(
        embedded=False,
        items={task.task_id: item_of(task) for task in TASKS},
        events=[event_of(task) for task in TASKS],
        webhooks=list(webhooks(assets)),
        manifests={
            task.task_id: {
                "assets": assets[task.task_id],
                "clips": [{"text": "la" if task.plan.lyrics else None}],
            }
            for task in TASKS
            if task.ends == "completed"
        },
        objects={
            asset["key"]: StoredObject(asset["key"], asset["sha256"], asset["bytes"])
            for each in assets.values()
            for asset in each
        },
        strangers={"a question with a wrong key": 401, "another path": 404},
        redelivered=REDELIVERED,
        dead_letters={"FulfillmentDeadLetters": 0},
        time_to_live={"TasksTable": "ENABLED"},
        alarms_wanted=frozenset({"x-dead-letters"}),
        alarms={"x-dead-letters": True},
        dashboards_wanted=frozenset(),
        dashboards=frozenset(),
        log_lines={name: [TEXT_REPORT] for name in (*FUNCTIONS, "sandbox")}
        | {"poller": [TEXT_REPORT, METRIC_LINE]},
        tracing=dict.fromkeys(FUNCTIONS, "PassThrough"),
        traces=0,
        metrics=frozenset({("Passes", frozenset({("service", "poller")}))}),
        api=dict(API_ANSWERS),
        callbacks=dict.fromkeys(CALLED, 200),
        requests=15,
        parameters={"Observability": "lean", "Tracing": "no"},
        seconds=240.0,
    )


def item_of(task: SmokeTask) -> dict[str, Any]:
    item: dict[str, Any] = {"task_id": task.task_id, "provider": task.provider, "status": task.ends}
    if task.way is Way.CALLBACK:
        item["taken_in"] = True
    return item | ({"error": "timeout_s: must lie between 60 and 604800"} if task.ends == "rejected" else {})


def event_of(task: SmokeTask) -> BusEvent:
    failure = {"code": "provider_failed", "reason": FAILS_FOR}
    detail = {"failure": failure} if task.ends != "completed" else {}
    return BusEvent(EVENT_OF[task.ends], f"evt_{task.task_id}", task.task_id, detail)


def assets_of(task: SmokeTask) -> Iterator[dict[str, Any]]:
    for number, (kind, digest) in enumerate(task.files()):
        key = f"results/{task.provider}/{task.task_id}/{number}"
        yield {"type": kind, "status": "archived", "key": key, "sha256": digest, "bytes": 7}
    if task.plan.video:
        key = f"results/{task.provider}/{task.task_id}/video"
        yield {"type": "video", "status": "archived", "key": key, "sha256": "v", "bytes": 7}


def webhooks(assets: dict[str, list[dict[str, Any]]]) -> Iterator[Webhook]:
    for receiver in (MAIN, REFUSING, HOOK):
        told = [task for task in TASKS if is_told(receiver, task)]
        for number, task in enumerate(told):
            webhook = Webhook(
                receiver=receiver,
                webhook_id=f"msg_{receiver}-{task.task_id}",
                type=WEBHOOK_OF[task.ends],
                task_id=task.task_id,
                answered=503 if receiver == REFUSING and number == 0 else 204,
                signed_by=frozenset({"first"}),
                links=tuple(
                    Link("https://x", asset["key"], asset["sha256"], 200, asset["sha256"], asset["bytes"])
                    for asset in assets[task.task_id]
                ),
            )
            yield webhook
            if webhook.answered == 503:
                yield Webhook(**{**fields(webhook), "answered": 204})
            if webhook.webhook_id == REDELIVERED:
                yield Webhook(**{**fields(webhook), "signed_by": frozenset({"first", "rotated"})})


def fields(webhook: Webhook) -> dict[str, Any]:
    return {name: getattr(webhook, name) for name in webhook.__dataclass_fields__}
