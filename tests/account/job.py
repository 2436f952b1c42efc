"""The main job, done as a user does it, and looked at from outside: with the command, with boto3, over HTTP."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
from jsonschema import Draft202012Validator
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError
from tests.account.evidence import (
    HOOK,
    MAIN,
    REFUSING,
    BusEvent,
    Evidence,
    Link,
    StoredObject,
    Webhook,
)
from tests.account.judges import CALLED, FUNCTIONS, NAMESPACE, is_told, metrics_sent
from tests.account.logs import reports
from tests.account.sandbox.books import Arrival, Books
from tests.account.target import Target
from tests.account.tasks import TASKS, SmokeTask, Way, digest
from tests.support.patience import NotCome, until
from tests.support.reading import tasks_as_read
from tests.support.template import ROOT, read_template

from tunehook.aws.items import from_attributes, to_attributes
from tunehook.errors import Unavailable
from tunehook_local.sandbox.model import Kind

Seen = TypeVar("Seen")
Say = Callable[[str], None]

HANGS_S: Final = 900.0
"""So long something may take that is waited for: only what hangs does."""

LOOK_EVERY_S: Final = 1.0

_SANDBOX_WITHIN_S: Final = 300.0
"""Where it does not answer at all, nothing else needs to be waited for."""

ROTATED_WITHIN_S: Final = 15.0
"""docs/webhook-contract.md: a rotation counts within so many seconds."""

_LOGS_COME_WITHIN_S: Final = 15.0
"""What was logged may be asked for so much later, on a real account."""

_METRICS_EVERY_S: Final = 10.0
"""CloudWatch takes some minutes to list a new metric, and answers few questions about logs in a second."""

_DEAD_LETTERS: Final = (
    "FulfillmentDeadLetters",
    "DeliveriesDeadLetters",
    "IntakeDeadLetters",
    "PollerDeadLetters",
)


def eventually(
    what: str,
    look: Callable[[], Seen | None],
    within_s: float = HANGS_S,
    every_s: float = LOOK_EVERY_S,
    moved: Callable[[], Sequence[float]] | None = None,
) -> Seen:
    """Return the first truthy thing that `look` sees; what `moved` counts is what `tests.support.patience.until` says.

    Raises
    ------
    Unavailable
        If there is none in time, and nothing has moved for as long.
    """
    try:
        seen = until(look, what, moved=moved, hang_s=within_s, every_s=every_s)
    except NotCome as error:
        raise Unavailable(str(error)) from None
    assert seen is not None
    return seen


class Job:
    """The job on one deployment.

    Parameters
    ----------
    target : Target
        Where it is deployed.
    path_key, api_key : str
        What guards the sandbox.
    say : callable
        Is given a line a step.
    """

    def __init__(self, target: Target, path_key: str, api_key: str, say: Say) -> None:
        self._target = target
        self._path_key = path_key
        self._api_key = api_key
        self._say = say
        self._main = self._stack(target.name)
        self._outputs = outputs_of(self._main)
        sandbox = outputs_of(self._stack(target.sandbox_name))
        self._events_queue = sandbox["EventsQueue"]
        self._sandbox_function = sandbox["SandboxFunction"]
        self._url = f"{target.url_of(sandbox['Url'])}/{path_key}"
        self._books = Books(target.client("dynamodb"), sandbox["BooksTable"])
        # A receiver is named so that nobody guesses it either.
        self._names = {receiver: f"{receiver}-{secrets.token_hex(8)}" for receiver in (MAIN, REFUSING, HOOK)}
        self._secrets: dict[str, dict[str, str]] = {}
        self._http = httpx.Client(trust_env=not target.embedded, timeout=60)
        self._events: list[BusEvent] = []
        self._signers: dict[tuple[str, int, str], frozenset[str]] = {}
        self._api_url = ""
        self._keys: dict[str, str] = {}
        self._api: dict[str, int] = {}
        self._callbacks: dict[str, int] = {}
        self._requests = 0

    def run(self, started: float) -> Evidence:
        """Do it all, and return what was seen; `started` is when the deployment began, by `time.monotonic`."""
        self._say("waiting: the sandbox answers")
        # Its permissions count some seconds after they are made.
        eventually("an answer of the sandbox", self._sandbox_answers, within_s=_SANDBOX_WITHIN_S)
        self._configure()
        self._submit()
        self._wait("told", self._receivers_are_told)
        main_id = self._rotate()
        rotated_at = time.monotonic()
        self._wait("ended and told", self._everything_came)
        time.sleep(max(0.0, rotated_at + ROTATED_WITHIN_S + 1 - time.monotonic()))
        redelivered = self._redeliver(main_id)
        self._ask_more()
        return self._evidence(redelivered, started)

    # What a user does

    def _configure(self) -> None:
        self._say("setting the providers, subscribing")
        for kind in Kind:
            self._tunehook(
                "providers",
                "set",
                kind.value,
                "--kind",
                kind.value,
                "--base-url",
                f"{self._url}/{kind}",
                "--api-key",
                "-",
                told=self._api_key,
            )
        self._books.plan_receiver(self._names[MAIN])
        self._books.plan_receiver(self._names[REFUSING], refusals=1)
        self._books.plan_receiver(self._names[HOOK])
        for receiver, more in ((MAIN, ()), (REFUSING, ("--provider", "musicmint"))):
            made = self._tunehook("subscribe", self._receiver_url(receiver), *more)
            self._secrets[receiver] = {"id": made["subscription_id"], "first": made["signing_secret"]}
        self._api_url = self._tunehook("outputs", "ApiUrl")["ApiUrl"]
        for scope in ("read", "write"):
            made = self._tunehook("keys", "create", f"smoke-{scope}", "--scope", scope, "--expires", "1d")
            self._keys[scope] = made["key"]
        hook = self._tunehook("subscriptions", "secret", self._receiver_url(HOOK))
        self._secrets[HOOK] = {"id": hook["subscription_id"], "first": hook["signing_secret"]}

    def _submit(self) -> None:
        self._say(f"letting it know of {len(TASKS)} tasks")
        for task in TASKS:
            self._books.plan_task(task.plan)
        # The callback first: its task is taken in a minute later.
        for task in sorted(TASKS, key=lambda each: each.way is not Way.CALLBACK):
            hook = {"notify_hook": self._receiver_url(HOOK)} if task.hooked else {}
            item = {"task_id": task.task_id, "provider": task.provider} | task.attributes | hook
            match task.way:
                case Way.TABLE:
                    self._target.client("dynamodb").put_item(
                        TableName=self._outputs["TasksTable"], Item=to_attributes(item)
                    )
                case Way.API:
                    self._api["a task is put"] = self._ask("POST", "/v1/tasks", "write", item)
                    self._api["it is put again"] = self._ask("POST", "/v1/tasks", "write", item)
                case Way.CALLBACK:
                    self._call_back(task)

    def _call_back(self, task: SmokeTask) -> None:
        """Tell of a task as its provider would, and as others might."""
        url = self._tunehook("providers", "callback-url", task.provider)["callback_url"]
        body = {"task_id": task.task_id, "status": "SUCCESS"}
        genuine, again, garbage, forged = CALLED
        for what, address, content in (
            (genuine, url, json.dumps(body)),
            (again, url, json.dumps(body)),
            (garbage, url, "so it goes"),
            (forged, f"{url.rpartition('/')[0]}/{'A' * 43}", json.dumps(body)),
        ):
            self._requests += 1
            self._callbacks[what] = self._http.post(address, content=content).status_code

    def _ask(self, method: str, path: str, key: str | None, body: object = None) -> int:
        """Return the status with which the HTTP API answers a request that is made with a key, by its name, or none."""
        self._requests += 1
        headers = {} if key is None else {"authorization": f"Bearer {self._keys.get(key, key)}"}
        return self._http.request(method, f"{self._api_url}{path}", headers=headers, json=body).status_code

    def _ask_more(self) -> None:
        """Ask the HTTP API about the task that it was given, and for what it has to refuse."""
        (task,) = (each for each in TASKS if each.way is Way.API)
        path = f"/v1/tasks/{task.provider}/{task.task_id}"
        item = {"task_id": "nobody", "provider": task.provider}
        wrong = f"{self._keys['read'][:-1]}{'a' if self._keys['read'][-1] != 'a' else 'b'}"
        self._api |= {
            "it is read": self._ask("GET", path, "read"),
            "its files are listed": self._ask("GET", f"{path}/results", "read"),
            "its key may not subscribe": self._ask("POST", "/v1/subscriptions", "write", {"url": self._url}),
            "a key that reads may not put": self._ask("POST", "/v1/tasks", "read", item),
            "a wrong key": self._ask("GET", path, wrong),
            "no key": self._ask("GET", path, None),
            "no key, the document": self._ask("GET", "/v1/openapi.json", None),
        }

    def _rotate(self) -> str:
        main = self._secrets[MAIN]
        rotated = self._tunehook("subscriptions", "rotate-secret", main["id"], "--grace", "1h")
        main["rotated"] = rotated["signing_secret"]
        return main["id"]

    def _redeliver(self, subscription_id: str) -> str | None:
        """Have the first task's webhook sent once more; return its `webhook-id`, or None if there is none."""
        self._say("redelivering one webhook by hand, after the rotation")
        first = TASKS[0].task_id
        came = [each for each in self._arrivals(MAIN) if is_about(each, first, "task.completed")]
        listed = self._tunehook("deliveries", "list", "--task", first, "--subscription", subscription_id)
        # Where its files were late there is another, which tells of them.
        deliveries = [each["delivery_id"] for each in listed if each["type"] == "task.completed"]
        if not (came and deliveries):
            self._say(f"there is nothing to redeliver of {first}")
            return None
        webhook_id = came[0].headers["webhook-id"]

        def count() -> int:
            return [each.headers["webhook-id"] for each in self._arrivals(MAIN)].count(webhook_id)

        before = count()
        self._tunehook("deliveries", "redeliver", deliveries[0])
        self._wait("the redelivery", lambda: count() > before)
        return webhook_id

    # Waiting

    def _wait(self, what: str, look: Callable[[], bool], every_s: float = LOOK_EVERY_S) -> None:
        self._say(f"waiting: {what}")
        try:
            eventually(what, look, every_s=every_s, moved=self._moved)
        except Unavailable as error:
            # What did not come is for the judges to say.
            self._say(str(error))

    def _moved(self) -> tuple[int, ...]:
        """Count what has come so far: tasks that have an end or their files, events, and what the receivers got."""
        items = self._items().values()
        return (
            sum(each.get("status") not in (None, "pending") for each in items),
            sum("archived_at_ms" in each for each in items),
            len(self._events),
            *(len(self._arrivals(receiver)) for receiver in self._names),
        )

    def _receivers_are_told(self) -> bool:
        return any(self._arrivals(MAIN))

    def _everything_came(self) -> bool:
        self._hear_events()
        items = self._items()
        if any(items.get(task.task_id, {}).get("status") != task.ends for task in TASKS):
            return False
        heard = {event.task_id for event in self._events if event.type != "TaskArchived"}
        if heard < {task.task_id for task in TASKS}:
            return False
        for receiver in (MAIN, REFUSING, HOOK):
            taken = [each for each in self._arrivals(receiver) if each.status < 300]
            for task in TASKS:
                if is_told(receiver, task) and not is_whole(taken, task.task_id):
                    return False
        return True

    # What is seen

    def _evidence(self, redelivered: str | None, started: float) -> Evidence:
        self._say("reading what there is: items, events, objects, links, logs, alarms")
        self._hear_events()
        objects, manifests = self._objects()
        webhooks = [each for receiver in (MAIN, REFUSING, HOOK) for each in self._webhooks(receiver)]
        resources = self._resources()
        functions = {name: self._outputs[f"{name.capitalize()}Function"] for name in FUNCTIONS}
        evidence = Evidence(
            embedded=self._target.embedded,
            items=self._items(),
            events=self._events,
            webhooks=webhooks,
            manifests=manifests,
            objects=objects,
            strangers=self._strangers(),
            redelivered=redelivered,
            dead_letters={name: self._count(self._outputs[name]) for name in _DEAD_LETTERS},
            time_to_live=self._time_to_live(resources),
            alarms_wanted=frozenset(resources.get("AWS::CloudWatch::Alarm", ())),
            alarms=self._alarms(),
            dashboards_wanted=frozenset(resources.get("AWS::CloudWatch::Dashboard", ())),
            dashboards=self._dashboards(),
            log_lines={},
            tracing={name: self._tracing(function) for name, function in functions.items()},
            traces=None,
            metrics=None,
            api=self._api,
            callbacks=self._callbacks,
            requests=self._requests,
            parameters={
                each["ParameterKey"]: each["ParameterValue"] for each in self._main.get("Parameters", ())
            },
            seconds=time.monotonic() - started,
        )
        if not self._target.embedded:
            time.sleep(_LOGS_COME_WITHIN_S)

        def all_are_reported() -> bool:
            self._read_logs(evidence, functions)
            return all(reports(evidence.log_lines.get(name, ())) for name in functions)

        # The poller reports when its minute is over.
        self._wait("every function's invocation has ended", all_are_reported)
        if not self._target.embedded:
            traced = "Active" in evidence.tracing.values()
            evidence.traces = self._traces(started, list(functions.values()), wanted=traced)
            self._compare_metrics(evidence, functions)
        return evidence

    def _items(self) -> dict[str, Mapping[str, Any]]:
        pages = (
            self._target.client("dynamodb")
            .get_paginator("scan")
            .paginate(TableName=self._outputs["TasksTable"], ConsistentRead=True)
        )
        items = (from_attributes(item) for page in pages for item in page["Items"])
        return {item["task_id"]: item for item in tasks_as_read(items)}

    def _hear_events(self) -> None:
        sqs = self._target.client("sqs")
        while messages := sqs.receive_message(
            QueueUrl=self._events_queue, MaxNumberOfMessages=10, WaitTimeSeconds=0
        ).get("Messages"):
            for message in messages:
                envelope = json.loads(message["Body"])
                self._events.append(event_of(envelope))
                sqs.delete_message(QueueUrl=self._events_queue, ReceiptHandle=message["ReceiptHandle"])

    def _objects(self) -> tuple[dict[str, StoredObject], dict[str, Mapping[str, Any]]]:
        s3, bucket = self._target.client("s3"), self._outputs["ResultsBucket"]
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="results/")
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        with ThreadPoolExecutor(8) as threads:
            read = lambda key: s3.get_object(Bucket=bucket, Key=key)["Body"].read()  # noqa: E731
            contents = dict(zip(keys, threads.map(read, keys), strict=True))
        objects = {key: StoredObject(key, digest(body), len(body)) for key, body in contents.items()}
        manifests = {
            key.split("/")[2]: json.loads(body)
            for key, body in contents.items()
            if key.endswith("/manifest.json")
        }
        return objects, manifests

    def _webhooks(self, receiver: str) -> Iterator[Webhook]:
        arrivals = self._arrivals(receiver)
        wanted = [asset for each in arrivals for asset in _linked(_told(each))]
        with ThreadPoolExecutor(8) as threads:
            links = iter(list(threads.map(self._follow, wanted)))
        for arrival in arrivals:
            told = _told(arrival)
            yield Webhook(
                receiver=receiver,
                webhook_id=arrival.headers["webhook-id"],
                type=told["type"],
                task_id=told["data"]["task_id"],
                answered=arrival.status,
                signed_by=self._signers[_identity(arrival)],
                links=tuple(next(links) for _ in _linked(told)),
                fits_schema=fits("Webhook", told),
            )

    def _follow(self, asset: Mapping[str, Any]) -> Link:
        try:
            answer = self._http.get(asset["url"])
        except httpx.HTTPError as error:
            self._say(f"{asset['key']}: {error!r}")
            return Link(asset["url"], asset["key"], asset["sha256"], 0, "", 0)
        content = answer.content
        return Link(
            asset["url"], asset["key"], asset["sha256"], answer.status_code, digest(content), len(content)
        )

    def _sandbox_answers(self) -> bool:
        return self._http.get(self._url.removesuffix(self._path_key)).status_code == 404

    def _strangers(self) -> dict[str, int]:
        """Return what the sandbox answers those who know no path or no key."""
        wrong = {"authorization": "Bearer not-the-key"}
        other = self._url.replace(self._path_key, "0" * len(self._path_key))
        song = TASKS[3].task_id
        return {
            "a question with a wrong key": self._http.get(
                f"{self._url}/qhaigc/v1/music/tasks/{song}", headers=wrong
            ).status_code,
            "a question without a key": self._http.post(f"{self._url}/suno/suno/fetch").status_code,
            "another path": self._http.get(f"{other}/qhaigc/v1/music/tasks/{song}").status_code,
            "no path": self._http.get(self._url.removesuffix(self._path_key)).status_code,
            "a receiver that is not there": self._http.post(f"{self._url}/receiver/anybody").status_code,
        }

    def _count(self, queue: str) -> int:
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        attributes = self._target.client("sqs").get_queue_attributes(
            QueueUrl=queue, AttributeNames=list(names)
        )["Attributes"]
        return sum(int(attributes[name]) for name in names)

    def _time_to_live(self, resources: Mapping[str, Sequence[str]]) -> dict[str, str]:
        dynamodb = self._target.client("dynamodb")
        names = self._logical_names("AWS::DynamoDB::Table")
        template = read_template((ROOT / "template.yaml").read_text(encoding="utf-8"))
        asking = {
            name
            for name, each in template["Resources"].items()
            if "TimeToLiveSpecification" in each.get("Properties", {})
        }
        return {
            name: dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]["TimeToLiveStatus"]
            for name, table in names.items()
            if name in asking
        }

    def _alarms(self) -> dict[str, bool]:
        pages = (
            self._target.client("cloudwatch")
            .get_paginator("describe_alarms")
            .paginate(AlarmNamePrefix=f"{self._target.name}-")
        )
        alarms = [alarm for page in pages for alarm in page["MetricAlarms"]]
        return {alarm["AlarmName"]: bool(alarm.get("ActionsEnabled", True)) for alarm in alarms}

    def _dashboards(self) -> frozenset[str]:
        pages = (
            self._target.client("cloudwatch")
            .get_paginator("list_dashboards")
            .paginate(DashboardNamePrefix=self._target.name)
        )
        return frozenset(each["DashboardName"] for page in pages for each in page["DashboardEntries"])

    def _tracing(self, function: str) -> str:
        configuration = self._target.client("lambda").get_function_configuration(FunctionName=function)
        return str(configuration.get("TracingConfig", {}).get("Mode", "PassThrough"))

    def _read_logs(self, evidence: Evidence, functions: Mapping[str, str]) -> None:
        logs = self._target.client("logs")
        lines = {}
        for name, function in {**functions, "sandbox": self._sandbox_function}.items():
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{function}")
            lines[name] = [event["message"] for page in pages for event in page["events"]]
        evidence.log_lines = lines

    def _traces(self, started: float, functions: Sequence[str], *, wanted: bool) -> int:
        xray = self._target.client("xray")
        began = time.time() - (time.monotonic() - started)
        filters = " OR ".join(f'service("{name}")' for name in functions)

        def look() -> int:
            pages = xray.get_paginator("get_trace_summaries").paginate(
                StartTime=began, EndTime=time.time(), FilterExpression=filters
            )
            return sum(len(page["TraceSummaries"]) for page in pages)

        if wanted:
            self._wait("traces in X-Ray", lambda: look() > 0)
        return look()

    def _compare_metrics(self, evidence: Evidence, functions: Mapping[str, str]) -> None:
        """Note the metrics of these functions, when they are what the logs say was sent, which goes on meanwhile."""
        cloudwatch, names = self._target.client("cloudwatch"), frozenset(functions.values())

        def agree() -> bool:
            self._read_logs(evidence, functions)
            pages = cloudwatch.get_paginator("list_metrics").paginate(Namespace=NAMESPACE)
            every = {
                (each["MetricName"], frozenset((one["Name"], one["Value"]) for one in each["Dimensions"]))
                for page in pages
                for each in page["Metrics"]
            }
            sent = metrics_sent(evidence)
            # Another stack may send the same, where no dimension names the function.
            ours = {each for each in every if any(value in names for _, value in each[1])}
            evidence.metrics = frozenset(ours | (every & sent))
            return evidence.metrics == sent

        self._wait("metrics in CloudWatch", agree, every_s=_METRICS_EVERY_S)

    # How it is reached

    def _stack(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._target.client("cloudformation").describe_stacks(StackName=name)[
            "Stacks"
        ][0]
        return found

    @cached_property
    def _summaries(self) -> list[dict[str, Any]]:
        pages = (
            self._target.client("cloudformation")
            .get_paginator("list_stack_resources")
            .paginate(StackName=self._target.name)
        )
        return [each for page in pages for each in page["StackResourceSummaries"]]

    def _resources(self) -> dict[str, list[str]]:
        """Return the names of the stack's resources by their type."""
        found: dict[str, list[str]] = {}
        for each in self._summaries:
            found.setdefault(each["ResourceType"], []).append(each["PhysicalResourceId"])
        return found

    def _logical_names(self, kind: str) -> dict[str, str]:
        return {
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for each in self._summaries
            if each["ResourceType"] == kind
        }

    def _receiver_url(self, receiver: str) -> str:
        return f"{self._url}/receiver/{self._names[receiver]}"

    def _arrivals(self, receiver: str) -> list[Arrival]:
        arrivals = [
            each for each in self._books.arrivals(self._names[receiver]) if "webhook-id" in each.headers
        ]
        # Verified when it is first seen, as a receiver does: the library refuses what is older than five minutes.
        known = {name: value for name, value in self._secrets[receiver].items() if name != "id"}
        foreign = next(each["first"] for name, each in self._secrets.items() if name != receiver)
        for each in arrivals:
            if (key := _identity(each)) not in self._signers:
                named = known | {"foreign": foreign}
                self._signers[key] = frozenset(signers(each.headers, each.body, named))
        return arrivals

    def _tunehook(self, *words: str, told: str | None = None) -> Any:
        """Run the command and return the JSON that it prints.

        Raises
        ------
        Unavailable
            If it fails.
        """
        finished = subprocess.run(
            [sys.executable, "-c", "from tunehook_cli.main import run; run()", *words, "--json"],
            env=self._target.variables() | {"PYTHONPATH": os.pathsep.join(sys.path)},
            input=told,
            stdin=None if told is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode != 0:
            raise Unavailable(f"`tunehook {' '.join(words[:2])}` failed: {finished.stderr.strip()}")
        return json.loads(finished.stdout)


def outputs_of(stack: Mapping[str, Any]) -> dict[str, str]:
    """Return the outputs of a stack as CloudFormation describes it."""
    return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", ())}


def signers(headers: Mapping[str, str], body: bytes, known: Mapping[str, str]) -> Iterator[str]:
    """Yield the names of the secrets by which Standard Webhooks' own library takes a request for genuine."""
    for name, secret in known.items():
        try:
            Verifier(secret).verify(body, dict(headers))
        except WebhookVerificationError:
            continue
        yield name


def event_of(envelope: Mapping[str, Any]) -> BusEvent:
    """Return what an event says, as EventBridge hands it to a queue."""
    detail = envelope["detail"]
    return BusEvent(
        type=envelope["detail-type"],
        event_id=detail["event_id"],
        task_id=detail.get("task_id", ""),
        detail=detail,
        fits_schema=fits(envelope["detail-type"], detail),
    )


def fits(schema: str, document: Any) -> bool:
    """Return whether a document is what the published schema of its kind says."""
    path = Path(ROOT / "events" / "schemas" / f"{schema}.json")
    return Draft202012Validator(json.loads(path.read_text(encoding="utf-8"))).is_valid(document)


def is_about(arrival: Arrival, task_id: str, kind: str) -> bool:
    """Return whether a request tells this of this task."""
    told = _told(arrival)
    return (told["type"], told["data"]["task_id"]) == (kind, task_id)


def is_whole(taken: Iterable[Arrival], task_id: str) -> bool:
    """Return whether a receiver knows all of a task: its end and, where files were still missing then, the rest."""
    told = [each for each in map(_told, taken) if each["data"]["task_id"] == task_id]
    ends = [each for each in told if each["type"] != "task.archived"]
    late = any(each["data"]["archive"] == "pending" for each in ends)
    return bool(ends) and (not late or len(told) > len(ends))


def _identity(arrival: Arrival) -> tuple[str, int, str]:
    return arrival.receiver, arrival.at_ms, arrival.headers["webhook-id"]


def _told(arrival: Arrival) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(arrival.body)
    return told


def _linked(told: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the files of a webhook that have a link."""
    clips: Iterable[Mapping[str, Any]] = told["data"].get("clips", ())
    return [asset for clip in clips for asset in clip["assets"] if asset["url"]]
