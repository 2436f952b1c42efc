"""Running functions in containers with `sam local invoke`, on events made of what is really there."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.stack.driving import DeployedStack, eventually

from tunehook.errors import TunehookError
from tunehook_local.embedded.docker_network import listening_address
from tunehook_local.embedded.state import LocalEnvironment, checkout

PYTHON = "3.14"
"""The template's default."""

PROCESSOR = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"

_TOOLS = checkout() / ".tunehook" / "tools"
_IMAGE = """
from samcli.local.docker.lambda_image import LambdaImage
print(f"{LambdaImage._INVOKE_REPO_PREFIX}/python")
"""
_HANG_S = 900.0
"""No build or invocation takes so long, on the busiest machine."""


def address_for_containers() -> str:
    """Return where to listen for containers; skip if there is no engine to run them."""
    try:
        return listening_address()
    except TunehookError as error:
        pytest.skip(str(error))


def pull_the_image() -> None:
    """Get the image that `sam local invoke` runs functions in, unless it is there; skip if it is not to be had."""
    program = [str(_TOOLS / "sam" / "bin" / "python"), "-c", _IMAGE]
    repository = subprocess.run(program, capture_output=True, text=True, check=True).stdout.strip()
    image = f"{repository}:{PYTHON}-{PROCESSOR}"
    for arguments in (["image", "inspect", image], ["pull", "--quiet", image]):
        tried = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            return
    pytest.skip(f"the image of the Python runtime is not to be had: {tried.stderr.strip()}")


def build(folder: Path) -> Path:
    """Run `sam build` as `make build` does, elsewhere; return the folder with what was built."""
    sam(
        {"PYTHON": str(checkout() / ".venv" / "bin" / "python")},
        *("build", "--build-dir", str(folder / "build"), "--cached", "--cache-dir", str(folder / "cache")),
    )
    return folder / "build"


@dataclass(frozen=True)
class Invoker:
    """Runs the built functions in containers.

    Parameters
    ----------
    built : Path
        What `sam build` has made.
    environment : LocalEnvironment
        The embedded AWS whose credentials they get.
    folder : Path
        Where event files are written.
    """

    built: Path
    environment: LocalEnvironment
    folder: Path

    def __call__(
        self,
        function: str,
        event: Path | Mapping[str, Any],
        variables: Mapping[str, Mapping[str, str]],
        *options: str,
    ) -> Any:
        """Return what a function answers; fail the test if it raises."""
        if not isinstance(event, Path):
            event = self._written("event.json", event)
        printed = sam(
            self.environment.variables(),
            *("local", "invoke", function, "--event", str(event), "--skip-pull-image", *options),
            *("--template-file", str(self.built / "template.yaml")),
            *("--env-vars", str(self._written("environment.json", variables))),
            *("--parameter-overrides", f"Architecture={PROCESSOR}"),
        )
        return answer_in(printed)

    def _written(self, name: str, content: Mapping[str, Any]) -> Path:
        path = self.folder / name
        path.write_text(json.dumps(content, default=lambda moment: moment.timestamp()))
        return path


def answer_in(printed: str) -> Any:
    """Return a function's answer out of what `sam local invoke` prints; fail the test if the function raised."""
    answer = json.loads(printed)
    if "errorMessage" in answer:
        pytest.fail(f"the function raised {answer['errorType']}: {answer['errorMessage']}")
    return answer


def sam(variables: Mapping[str, str], *arguments: str) -> str:
    """Run the SAM CLI, and return what it prints on stdout."""
    return run(variables, str(_TOOLS / "sam" / "bin" / "sam"), *arguments)


def run(variables: Mapping[str, str], *command: str) -> str:
    """Run a command in the checkout, and return what it prints on stdout; fail the test if it fails."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    finished = subprocess.run(
        command,
        cwd=checkout(),
        env=inherited | {"SAM_CLI_TELEMETRY": "0", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_HANG_S,
        check=False,
    )
    if finished.returncode != 0:
        pytest.fail(f"{command} failed: {finished.stderr[-2000:]}")
    return finished.stdout


def put_to_rest(stack: DeployedStack) -> None:
    """Let none of the stack's own functions run from now on: what happens then, containers have done."""
    lambdas, scheduler = stack.client("lambda"), stack.client("scheduler")
    for mapping in lambdas.list_event_source_mappings()["EventSourceMappings"]:
        lambdas.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    for schedule in scheduler.list_schedules()["Schedules"]:
        scheduler.delete_schedule(Name=schedule["Name"], GroupName=schedule["GroupName"])
    for function in lambdas.list_functions()["Functions"]:
        lambdas.put_function_concurrency(
            FunctionName=function["FunctionName"], ReservedConcurrentExecutions=0
        )


def stream_event(stack: DeployedStack, task_id: str) -> dict[str, Any]:
    """Return the event that the Tasks table's stream has for a task that was put into it."""
    streams = stack.client("dynamodbstreams")
    (stream,) = streams.list_streams(TableName=stack.outputs["TasksTable"])["Streams"]
    arn = stream["StreamArn"]

    def look() -> list[dict[str, Any]]:
        shards = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        iterators = [
            streams.get_shard_iterator(
                StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            for shard in shards
        ]
        records = [
            record
            for iterator in iterators
            for record in streams.get_records(ShardIterator=iterator)["Records"]
        ]
        return [record for record in records if record["dynamodb"]["Keys"]["task_id"] == {"S": task_id}]

    return {
        "Records": [
            record | {"eventSourceARN": arn}
            for record in eventually(
                look,
            )
        ]
    }


def queue_event(stack: DeployedStack, queue: str) -> dict[str, Any]:
    """Take one message off a queue, as Lambda does, and return the event that it makes of it."""
    sqs, url = stack.client("sqs"), stack.outputs[queue]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def look() -> list[dict[str, Any]]:
        answer = sqs.receive_message(QueueUrl=url, MessageSystemAttributeNames=["All"], WaitTimeSeconds=1)
        return answer.get("Messages", [])

    (message,) = eventually(look)
    return {
        "Records": [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
                "messageAttributes": {},
                "md5OfBody": message["MD5OfBody"],
                "eventSource": "aws:sqs",
                "eventSourceARN": arn,
                "awsRegion": stack.environment.region,
            }
        ]
    }
