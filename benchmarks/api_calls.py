"""What a request of the HTTP API asks of AWS, and what a provider's callback does: counted, not estimated.

usage: python -m benchmarks.api_calls            (a few seconds)

The api function's own handler answers events as the gateway sends them, on moto's AWS, where a hundred tasks have
lived through the real code of the other functions (`benchmarks.aws_life`). What the requests cost is in docs/cost.md:
`benchmarks.aws_cost`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

from tests.support import aws
from tests.support.template import resolved, resources

import api.app
from benchmarks.aws_calls import Pace, tasks_at
from benchmarks.aws_cost import KEY_CHECK, write_document
from benchmarks.aws_life import KIND, Stack, opened
from benchmarks.report import Row, report
from tunehook.api_keys import Scope
from tunehook.operations.callbacks import callback_url
from tunehook.operations.keys import create_key
from tunehook.operations.stack import Stack as Deployed
from tunehook_local.sandbox import Sandbox, run_sandbox
from tunehook_local.sandbox.guide import api_key

LIVED = Pace("lived", 100, 0.0)
PAGE = 50
PENDING = "api-pending"
SUBMITTED_TO = "sandbox"

PUT = "POST /v1/tasks"
PUT_ONCE = "POST /v1/tasks, Idempotency-Key"
SUBMIT = "POST /v1/submissions"
READ = "GET /v1/tasks/{provider}/{task_id}, pending"
READ_ENDED = "GET /v1/tasks/{provider}/{task_id}, ended"
RESULTS = "GET /v1/tasks/{provider}/{task_id}/results"
LIST = f"GET /v1/tasks, {PAGE} tasks"
LIST_DELIVERIES = f"GET /v1/deliveries, {PAGE} deliveries"
CALLBACK = "callback about a pending task"
CALLBACK_ENDED = "callback about an ended task"
CALLBACK_UNKNOWN = "callback about an unknown task"

REQUESTS = (
    KEY_CHECK,
    PUT,
    PUT_ONCE,
    SUBMIT,
    READ,
    READ_ENDED,
    RESULTS,
    LIST,
    LIST_DELIVERIES,
    CALLBACK,
    CALLBACK_ENDED,
    CALLBACK_UNKNOWN,
)
"""What is counted, by its name in the results."""


def main() -> None:
    """Count and report; write the document."""
    report("api_calls", "What a request of the HTTP API asks of AWS", measure())
    write_document()


def measure() -> list[Row]:
    """Return what was counted, a request of each kind, in an environment of the function that is warm."""
    with opened() as stack, run_sandbox() as sandbox, _deployed() as deployed:
        stack.live(tasks_at(LIVED))
        requests = Requests(stack, sandbox, deployed)
        requests.warm_up()
        return [*requests.rows(), *_rows_of_template()]


@dataclass
class Requests:
    """Makes the requests, and counts what each asks of AWS.

    Parameters
    ----------
    stack : Stack
        What has lived.
    sandbox : Sandbox
        The provider that takes what is submitted.
    deployed : Deployed
        The same stack, as operations see it.
    """

    stack: Stack
    sandbox: Sandbox
    deployed: Deployed

    def __post_init__(self) -> None:
        configured = {"kind": KIND.value, "base_url": self.sandbox.base_url(KIND), "api_key": api_key(KIND)}
        both = json.loads(self.deployed.providers_json()) | {SUBMITTED_TO: configured}
        aws.client("secretsmanager").put_secret_value(
            SecretId=self.deployed.output("ProvidersSecret"), SecretString=json.dumps(both)
        )
        self._key = create_key(self.deployed, "benchmark", Scope.ADMIN).text
        self._ended = f"{LIVED.name}-0"
        self._callback_path = urlsplit(callback_url(self.deployed, KIND)).path

    def warm_up(self) -> None:
        """Make one request of each kind, so that nothing is made or read for the first time."""
        for name, ask in self._requests("warm").items():
            _check(name, ask())

    def rows(self) -> Iterator[Row]:
        """Yield what each request asks of AWS."""
        for name, ask in self._requests("counted").items():
            ledger = self.stack.ledger
            ledger.forget()
            with ledger.by(name):
                answer = ask()
            _check(name, answer)
            counts: dict[str, tuple[float, str]] = {
                operation: (calls, "calls") for (_, operation), calls in sorted(ledger.calls.items())
            } | {
                "write units, tables": (sum(ledger.table_write_units.values()), "units"),
                "write units, indexes": (sum(ledger.index_write_units.values()), "units"),
                "read units": (ledger.read_units[name], "units"),
                "log": (ledger.log_bytes[name], "bytes"),
                "AWS calls": (sum(ledger.calls.values()), "calls"),
            }
            yield from (
                Row(f"{name}: {what}", count, f"{unit}/request")
                for what, (count, unit) in counts.items()
                if count
            )

    def _requests(self, run: str) -> Mapping[str, Callable[[], Any]]:
        task, ended = f"/v1/tasks/{KIND}/{PENDING}-{run}", f"/v1/tasks/{KIND}/{self._ended}"
        new = {"provider": KIND.value, "task_id": f"{PENDING}-{run}"}
        once = {"provider": KIND.value, "task_id": f"{PENDING}-once-{run}"}
        song = {"provider": SUBMITTED_TO, "action": "music", "body": {"prompt": "rain"}}
        return {
            KEY_CHECK: lambda: self._invoke(self._question()),
            PUT: lambda: self._ask("POST", "/v1/tasks", new),
            PUT_ONCE: lambda: self._ask("POST", "/v1/tasks", once, key=f"put-{run}"),
            SUBMIT: lambda: self._ask("POST", "/v1/submissions", song, key=f"submit-{run}"),
            READ: lambda: self._ask("GET", task),
            READ_ENDED: lambda: self._ask("GET", ended),
            RESULTS: lambda: self._ask("GET", f"{ended}/results"),
            LIST: lambda: self._ask("GET", "/v1/tasks", query=f"limit={PAGE}"),
            LIST_DELIVERIES: lambda: self._ask("GET", "/v1/deliveries", query=f"limit={PAGE}"),
            CALLBACK: lambda: self._call_back(f"{PENDING}-{run}"),
            CALLBACK_ENDED: lambda: self._call_back(self._ended),
            CALLBACK_UNKNOWN: lambda: self._call_back(f"unknown-{run}"),
        }

    def _question(self) -> dict[str, Any]:
        return {
            "version": "2.0",
            "type": "REQUEST",
            "routeArn": "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3/$default/GET/v1/tasks",
            "headers": {"authorization": f"Bearer {self._key}"},
        }

    def _call_back(self, task_id: str) -> Any:
        provider, token = self._callback_path.split("/")[-2:]
        event = {
            "version": "2.0",
            "routeKey": "POST /v1/callbacks/{provider}/{token}",
            "rawPath": self._callback_path,
            "pathParameters": {"provider": provider, "token": token},
            "headers": {"content-type": "application/json"},
            "requestContext": {"stage": "$default", "http": {"method": "POST", "path": self._callback_path}},
            "isBase64Encoded": False,
            "body": json.dumps({"task_id": task_id, "status": "SUCCESS"}),
        }
        return self._invoke(event)

    def _ask(
        self, method: str, path: str, body: object = None, *, query: str = "", key: str | None = None
    ) -> Any:
        headers = {"content-type": "application/json"} | ({} if key is None else {"idempotency-key": key})
        event = {
            "version": "2.0",
            "routeKey": "ANY /v1/{proxy+}",
            "rawPath": path,
            "rawQueryString": query,
            "headers": headers,
            "requestContext": {
                "stage": "$default",
                "http": {"method": method, "path": path},
                "authorizer": {"lambda": {"key_id": "k", "name": "benchmark", "scope": "admin"}},
            },
            "isBase64Encoded": False,
        }
        return self._invoke(event if body is None else event | {"body": json.dumps(body)})

    def _invoke(self, event: dict[str, Any]) -> Any:
        context: Any = aws.Context()
        return api.app.handler(event, context)


@contextmanager
def _deployed() -> Iterator[Deployed]:
    """Let the api function make its stack anew, and return that."""
    api.app.stack.cache_clear()
    with patch.dict("os.environ", {"AWS_REGION": aws.REGION}):
        yield api.app.stack()
    api.app.stack.cache_clear()


def _check(name: str, answer: Mapping[str, Any]) -> None:
    if not answer.get("isAuthorized") and not 200 <= answer.get("statusCode", 500) < 300:
        raise RuntimeError(f"{name}: {answer}")


def _rows_of_template() -> list[Row]:
    memory = resources("AWS::Serverless::Function")["ApiFunction"]["MemorySize"]
    return [Row("template: api: memory", float(resolved(memory)), "MB")]


if __name__ == "__main__":
    main()
