import json
from typing import Any

import pytest

from fulfillment.metrics import Metrics
from tunehook.events import ArchivedAsset
from tunehook.metrics import Observability

KEPT = ArchivedAsset(clip_id="1", type="audio", status="archived", key="k", bytes=7)
MISSING = ArchivedAsset(clip_id="1", type="cover", status="unavailable")


def told(capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, ...], list[Any]]:
    """Every metric with its dimensions' values."""
    found = {}
    for line in capsys.readouterr().out.splitlines():
        record = json.loads(line)
        for directive in record["_aws"]["CloudWatchMetrics"]:
            assert directive["Namespace"] == "tunehook"
            for metric in directive["Metrics"]:
                labels = [str(record[name]) for name in directive["Dimensions"][0] if name != "service"]
                found[metric["Name"], *sorted(labels)] = record[metric["Name"]]
    return found


def test_what_was_kept_is_counted_by_status_with_its_bytes_and_its_duration(capsys: Any) -> None:
    Metrics().archived("suno", [KEPT, KEPT, MISSING], 1500)
    assert told(capsys) == {
        ("TasksArchived", "partial", "suno"): [1],
        ("ArchiveDuration", "suno"): [1500],
        ("Assets", "archived", "suno"): [2],
        ("Assets", "suno", "unavailable"): [1],
        ("BytesArchived", "suno"): [14],
        ("AssetsUnavailable",): [1],
    }


def test_the_figure_of_the_alarm_comes_without_trouble_too(capsys: Any) -> None:
    Metrics().archived("suno", [KEPT], 5)
    assert told(capsys)[("AssetsUnavailable",)] == [0]


def test_a_clock_that_was_set_back_gives_no_negative_duration(capsys: Any) -> None:
    Metrics().archived("suno", [KEPT], -5)
    assert told(capsys)[("ArchiveDuration", "suno")] == [0]


def test_what_is_waited_for_is_counted(capsys: Any) -> None:
    Metrics().waiting_for("suno", 3)
    assert told(capsys) == {("AssetsWaitedFor", "suno"): [3]}


def test_who_is_told_before_all_files_are_settled_is_counted(capsys: Any) -> None:
    Metrics().delivered_pending("suno")
    assert told(capsys) == {("TasksToldPending", "suno"): [1]}


def test_in_lean_what_went_well_is_not_told(capsys: Any) -> None:
    figures = Metrics(Observability.LEAN)
    figures.archived("suno", [KEPT], 5)
    figures.archived("suno", [], 5)
    figures.waiting_for("suno", 3)
    figures.delivered_pending("suno")
    assert told(capsys) == {}


def test_in_lean_files_that_could_not_be_had_are_told_without_their_provider(capsys: Any) -> None:
    Metrics(Observability.LEAN).archived("suno", [KEPT, MISSING, MISSING], 5)
    assert told(capsys) == {("AssetsUnavailable",): [2]}
