"""What docs/deploying.md says of the stack is what the template and the code do."""

from __future__ import annotations

import re

import pytest
from tests.support.template import ROOT, resources, template

from poller.registry import RELOAD_EVERY_MS
from tunehook.operations.queues import DeadLetters
from tunehook.operations.status import PAGES_MAX
from tunehook.signatures import MIN_MASTER_SECRET_LENGTH
from tunehook_cli.deploying import LONGEST_NAME
from webhooks.secret import CACHED_S

PAGE = (ROOT / "docs" / "deploying.md").read_text()


def section(title: str) -> str:
    match = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert match, title
    return match[1]


def first_column(text: str) -> list[str]:
    cells = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


def test_every_parameter_is_explained() -> None:
    assert set(first_column(section("The first time"))) == set(template()["Parameters"])


def test_what_stays_is_what_the_template_retains() -> None:
    retained = {
        name
        for name, each in template()["Resources"].items()
        if each.get("DeletionPolicy", "Delete") != "Delete"
    }
    assert set(first_column(section("Remove it"))) == retained


def test_every_alarm_is_explained_with_the_size_that_has_it() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \| (\w+) \| [^|]+ \| [^|]+ \|$", section("Alarms"), re.MULTILINE)
    told = [(name, size) for names, size in rows for name in re.findall(r"`([a-z-]+)`", names)]
    made = [
        (
            alarm["Properties"]["AlarmName"]["Fn::Sub"].partition("}-")[2],
            "full" if "Condition" in alarm else "both",
        )
        for alarm in template()["Resources"].values()
        if alarm["Type"] == "AWS::CloudWatch::Alarm"
    ]
    assert sorted(told) == sorted(made)
    assert [size for _, size in told] == sorted(size for _, size in told)


def test_every_dead_letter_queue_is_explained() -> None:
    assert first_column(section("Dead letters")) == [queue.value for queue in DeadLetters]


@pytest.mark.parametrize("queue", [queue.output for queue in DeadLetters] + ["DeliveriesQueue"])
def test_messages_are_kept_for_as_long_as_the_page_says(queue: str) -> None:
    (days,) = set(re.findall(r"(\d+) days", section("Dead letters") + section("Change the master secret")))
    assert resources("AWS::SQS::Queue")[queue]["MessageRetentionPeriod"] == int(days) * 86_400


def test_figures_are_those_of_the_code() -> None:
    secret = section("Change the master secret")
    assert f"at least {MIN_MASTER_SECRET_LENGTH} characters" in secret
    assert f"at the earliest {CACHED_S / 60:g} minutes after" in secret
    assert f"at most {PAGES_MAX} MB" in section("Look after it")
    assert f"within {RELOAD_EVERY_MS // 1000} seconds" in section("Configure it")


def test_nothing_is_deployed_that_was_not_built_just_before() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    lines = [
        line for page in pages for line in page.read_text().splitlines() if re.search(r"`?sam deploy -", line)
    ]
    assert lines
    assert [line for line in lines if "sam build && sam deploy" not in line] == []


def test_what_runs_at_once_is_what_the_template_says() -> None:
    text = section("How much runs at once")
    for parameter in ("FulfillmentConcurrency", "WebhooksConcurrency"):
        assert f"`{parameter}` ({template()['Parameters'][parameter]['Default']})" in text


def test_the_longest_name_is_that_of_the_program() -> None:
    assert f"{LONGEST_NAME} characters at most" in section("The first time")


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).is_file(), target
    titles = {title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)}
    assert set(re.findall(r"\]\(#(.*?)\)", PAGE)) <= titles
