"""Each function runs in a container, straight after `sam build`, on the embedded AWS."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook
from tests.stack.driving import DeployedStack, begin_ended, webhooks_about
from tests.stack.invoking import (
    Invoker,
    address_for_containers,
    answer_in,
    build,
    pull_the_image,
    put_to_rest,
    queue_event,
    run,
    stream_event,
)

from tunehook.signatures import derive_secret
from tunehook_local.embedded import ministack
from tunehook_local.embedded.sam_environment import environment_file
from tunehook_local.embedded.state import HOME_VARIABLE, Home, checkout
from tunehook_local.sandbox import Sandbox, run_sandbox

EVENTS = checkout() / "events"
NOTHING_FAILED: dict[str, Any] = {"batchItemFailures": []}


@pytest.fixture(scope="module")
def address() -> str:
    """Where containers reach this machine."""
    found = address_for_containers()
    pull_the_image()
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("containers")


@pytest.fixture(scope="module")
def built(address: str, folder: Path) -> Path:
    return build(folder)


@pytest.fixture(scope="module")
def resting(address: str, folder: Path) -> Iterator[DeployedStack]:
    """A stack whose own functions do nothing."""
    home = Home(folder / "home")
    run(
        {HOME_VARIABLE: str(home.folder)},
        *(str(checkout() / ".venv" / "bin" / "tunehook"), "local", "up", "--detach", "--containers"),
        *("--port", str(ministack.free_port())),
    )
    environment = home.running()
    assert environment is not None
    try:
        stack = DeployedStack(environment, environment.outputs())
        put_to_rest(stack)
        yield stack
    finally:
        ministack.stop(home, environment)


@pytest.fixture(scope="module")
def nearby(address: str, resting: DeployedStack) -> Iterator[Sandbox]:
    """The providers and a receiver, where containers reach them."""
    with run_sandbox(host=address) as sandbox:
        resting.configure(sandbox.providers_secret())
        resting.put("SubscriptionsTable", subscription_id="main", url=sandbox.receiver_url("main"))
        yield sandbox


@pytest.fixture(scope="module")
def invoke(built: Path, resting: DeployedStack, folder: Path) -> Invoker:
    return Invoker(built, resting.environment, folder)


@pytest.fixture(scope="module")
def variables(resting: DeployedStack) -> dict[str, dict[str, str]]:
    return environment_file(resting.environment)


def test_on_aws_no_function_is_sent_to_another_endpoint(resting: DeployedStack) -> None:
    functions = resting.client("lambda").list_functions()["Functions"]
    assert len(functions) == 4
    for function in functions:
        assert "AWS_ENDPOINT_URL" not in function["Environment"]["Variables"]


@pytest.mark.parametrize(
    ("function", "event", "answer"),
    [
        ("IntakeFunction", "task_inserted", NOTHING_FAILED),
        ("PollerFunction", "schedule", {"shard": 0, "stopped": "nothing_pending"}),
        ("FulfillmentFunction", "task_failed", NOTHING_FAILED),
        ("WebhooksFunction", "delivery", NOTHING_FAILED),
    ],
)
def test_a_function_answers_the_sample_event(
    invoke: Invoker,
    variables: dict[str, dict[str, str]],
    function: str,
    event: str,
    answer: dict[str, Any],
) -> None:
    assert invoke(function, EVENTS / f"{event}.json", variables) == answer


def test_the_name_that_docker_desktop_gives_the_host_leads_to_the_embedded_aws(
    invoke: Invoker, resting: DeployedStack, variables: dict[str, dict[str, str]], address: str
) -> None:
    endpoint = variables["FulfillmentFunction"]["AWS_ENDPOINT_URL"]
    named = {"AWS_ENDPOINT_URL": endpoint.replace(address, "host.docker.internal")}
    answer = invoke(
        "FulfillmentFunction",
        EVENTS / "task_completed.json",
        {"FulfillmentFunction": variables["FulfillmentFunction"] | named},
        *("--add-host", f"host.docker.internal:{address}"),
    )

    assert answer == NOTHING_FAILED
    task_id = "ba46ad15-07ce-41a6-b68d-196321dc00d5"
    assert resting.keys("suno", task_id) == [f"results/suno/{task_id}/manifest.json"]


def test_make_invoke_is_the_short_form(
    built: Path, resting: DeployedStack, folder: Path, variables: dict[str, dict[str, str]]
) -> None:
    printed = run(
        {HOME_VARIABLE: str(folder / "home"), "SAM_SKIP_PULL_IMAGE": "1"},
        *("make", "--silent", "--no-print-directory", "invoke", f"BUILD={built}"),
        *("FUNCTION=PollerFunction", "EVENT=events/schedule.json"),
    )
    assert answer_in(printed) == {"shard": 0, "stopped": "nothing_pending"}


def test_a_task_goes_its_whole_way_in_containers(
    invoke: Invoker,
    resting: DeployedStack,
    nearby: Sandbox,
    variables: dict[str, dict[str, str]],
    unique: str,
) -> None:
    task_id = f"contained-{unique}"
    begin_ended(nearby, "suno", task_id)
    resting.put("TasksTable", task_id=task_id, provider="suno", metadata={"order": 17})
    inserted = stream_event(resting, task_id)
    assert "status" not in resting.task(task_id, "suno")

    assert invoke("IntakeFunction", inserted, variables) == NOTHING_FAILED
    assert resting.task(task_id, "suno")["status"] == "pending"

    invoke("PollerFunction", EVENTS / "schedule.json", variables)
    assert resting.task(task_id, "suno")["status"] == "completed"
    assert resting.keys("suno", task_id) == []

    ended = queue_event(resting, "FulfillmentQueue")
    assert invoke("FulfillmentFunction", ended, variables) == NOTHING_FAILED
    names = {key.rpartition("/")[2] for key in resting.keys("suno", task_id)}
    assert names == {"audio.mp3", "cover.jpg", "large_cover.jpg", "manifest.json"}
    assert webhooks_about(nearby, "main", task_id) == []

    delivery = queue_event(resting, "DeliveriesQueue")
    assert invoke("WebhooksFunction", delivery, variables) == NOTHING_FAILED
    (request,) = webhooks_about(nearby, "main", task_id)
    secret = derive_secret(resting.master_secret(), "main", 1)
    told = Webhook(secret).verify(request.body, request.headers)
    assert told["type"] == "task.completed"
    assert told["data"]["metadata"] == {"order": 17}
    for clip in told["data"]["clips"]:
        (audio,) = [asset for asset in clip["assets"] if asset["type"] == "audio"]
        kept = httpx.get(audio["url"], trust_env=False).content
        assert hashlib.sha256(kept).hexdigest() == audio["sha256"]
