from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import Binary
from hypothesis import given
from hypothesis import strategies as st
from tests.support.tasks import pending

from tunehook.aws.items import to_attributes
from tunehook.aws.tasks import OF_EARLIER_RUNS
from tunehook.errors import InvalidInput
from tunehook.http.guard import NetworkPolicy
from tunehook.tasks import (
    FailureCode,
    Format,
    Status,
    TaskEnd,
    TaskKey,
    TaskRequest,
    Trouble,
    Work,
    WorkItem,
    check_metadata,
    check_request,
    check_storable,
    plain_json,
    work_queue,
)

# As documented, and not imported: a bound that moves is to be noticed.
METADATA_MAX_BYTES = 2048


def checked(policy: NetworkPolicy = NetworkPolicy.PUBLIC, **fields: Any) -> TaskRequest:
    return check_request({"task_id": "task-1", "provider": "suno", **fields}, policy)


def refused(policy: NetworkPolicy = NetworkPolicy.PUBLIC, **fields: Any) -> str:
    """Check a request that must be refused; return the field that is named."""
    with pytest.raises(InvalidInput) as caught:
        checked(policy, **fields)
    return caught.value.field


def test_the_key_alone_makes_a_request_with_an_hour_and_the_standard_format() -> None:
    request = checked()
    assert request.key == TaskKey("task-1", "suno")
    assert (request.timeout_s, request.notify_format) == (3600, Format.STANDARD)
    assert (request.notify_hook, request.metadata) == (None, {})


def test_everything_that_a_user_may_write_is_taken() -> None:
    request = checked(
        timeout_s=Decimal(600),
        notify_hook="https://hook.example.com/x?y=1",
        notify_format="provider",
        metadata={"order": Decimal(7), "price": Decimal("1.5"), "tags": ["a"], "none": None, "yes": True},
    )
    assert request.timeout_s == 600
    assert request.notify_hook == "https://hook.example.com/x?y=1"
    assert request.notify_format is Format.PROVIDER
    assert request.metadata == {"order": 7, "price": 1.5, "tags": ["a"], "none": None, "yes": True}


def test_fields_that_are_not_the_users_are_ignored() -> None:
    assert checked(status_note=b"\x00", clips=[b"x"]) == checked()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("notifyhook", "notify_hook"),
        ("notifyHook", "notify_hook"),
        ("notify-hook", "notify_hook"),
        ("notify_hok", "notify_hook"),
        ("NotifyFormat", "notify_format"),
        ("timeout", "timeout_s"),
        ("Metadata", "metadata"),
        ("meta_data", "metadata"),
    ],
)
def test_a_name_that_is_almost_a_field_is_refused_with_the_one_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(InvalidInput, match=f"did you mean {meant}") as caught:
        checked(**{name: None})
    assert caught.value.field == name


@pytest.mark.parametrize(
    "name",
    [
        *OF_EARLIER_RUNS,
        "queue",
        "since_ms",
        "status",
        "user",
        "hook",
        "format",
        "data",
        "notes",
        "\ud800",
        "x" * 6_000,
    ],
)
def test_no_other_name_is_taken_for_a_slip(name: str) -> None:
    assert checked(**{name: None}) == checked()


@pytest.mark.parametrize("name", ["notify_hook", "notify_format", "metadata", "timeout_s"])
def test_a_field_that_is_null_counts_as_not_given(name: str) -> None:
    assert checked(**{name: None}) == checked()


@pytest.mark.parametrize(
    "task_id",
    [
        "",
        " ",
        " task",
        "task ",
        "ta\tsk",
        "ta\x00sk",
        "ta\x7fsk",
        "ta\u200bsk",
        "\u3000",
        "\ud800",
        "x" * 257,
    ],
)
def test_a_task_id_that_is_blank_or_invisible_or_too_long_is_refused(task_id: str) -> None:
    assert refused(task_id=task_id) == "task_id"


@pytest.mark.parametrize("task_id", ["x" * 256, "a b", "任务/1", "..", "a%2Fb", "🎵"])
def test_a_task_id_of_up_to_256_visible_characters_is_taken(task_id: str) -> None:
    assert checked(task_id=task_id).key.task_id == task_id


@pytest.mark.parametrize("name", ["task_id", "provider", "notify_hook"])
@pytest.mark.parametrize("value", [7, b"x", ["x"], {"x": "y"}, True])
def test_a_text_that_is_no_text_is_refused(name: str, value: object) -> None:
    assert refused(**{name: value}) == name


@pytest.mark.parametrize("provider", ["", " ", "a b", "a/b", "é", "suno\n", "x" * 65])
def test_a_provider_that_no_configuration_can_name_is_refused(provider: str) -> None:
    assert refused(provider=provider) == "provider"


@pytest.mark.parametrize("provider", ["a", "My-gw_2.x", "x" * 64])
def test_a_provider_of_letters_digits_and_marks_is_taken(provider: str) -> None:
    assert checked(provider=provider).key.provider == provider


@pytest.mark.parametrize("timeout_s", [60, 604_800, Decimal(60), Decimal("60.0"), Decimal("6E+1")])
def test_a_timeout_from_a_minute_to_a_week_is_taken(timeout_s: object) -> None:
    assert checked(timeout_s=timeout_s).timeout_s in (60, 604_800)
    assert type(checked(timeout_s=timeout_s).timeout_s) is int


@pytest.mark.parametrize("timeout_s", [59, 604_801, 0, -60, Decimal("1E+125")])
def test_a_timeout_outside_of_a_minute_and_a_week_is_refused(timeout_s: object) -> None:
    assert refused(timeout_s=timeout_s) == "timeout_s"


@pytest.mark.parametrize("timeout_s", [True, False, 90.5, 90.0, Decimal("90.5"), "90", [90], b"90"])
def test_a_timeout_that_is_no_whole_number_is_refused(timeout_s: object) -> None:
    with pytest.raises(InvalidInput, match="timeout_s: must be a whole number of seconds"):
        checked(timeout_s=timeout_s)


@pytest.mark.parametrize("url", ["http://hook.example.com/", "https://127.0.0.1/", "https://[fd00::1]/"])
def test_a_private_hook_is_a_matter_of_the_policy(url: str) -> None:
    assert refused(notify_hook=url) == "notify_hook"
    assert checked(NetworkPolicy.ANY, notify_hook=url).notify_hook == url


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_hook_is_none(empty: str | None) -> None:
    assert checked(notify_hook=empty).notify_hook is None


@pytest.mark.parametrize(
    "url", [" ", "hook.example.com", "ftp://hook.example.com/", "https://u:p@h.example/"]
)
@pytest.mark.parametrize("policy", NetworkPolicy)
def test_a_hook_that_is_no_usable_url_is_refused_by_every_policy(url: str, policy: NetworkPolicy) -> None:
    assert refused(policy, notify_hook=url) == "notify_hook"


@pytest.mark.parametrize("form", Format)
def test_each_format_is_taken(form: Format) -> None:
    assert checked(notify_format=form.value).notify_format is form


@pytest.mark.parametrize("form", ["", "Standard", "xml", 1, ["standard"], {}])
def test_an_unknown_format_is_refused(form: object) -> None:
    assert refused(notify_format=form) == "notify_format"


@pytest.mark.parametrize("metadata", ["text", ["list"], 1, b"x", {"a"}])
def test_metadata_that_is_no_map_is_refused(metadata: object) -> None:
    assert refused(metadata=metadata) == "metadata"


def test_metadata_is_measured_in_bytes_of_json() -> None:
    frame = len('{"k":""}')
    assert checked(metadata={"k": "x" * (METADATA_MAX_BYTES - frame)})
    assert refused(metadata={"k": "x" * (METADATA_MAX_BYTES - frame + 1)}) == "metadata"
    assert refused(metadata={"k": "歌" * ((METADATA_MAX_BYTES - frame) // 3 + 1)}) == "metadata"


@pytest.mark.parametrize("value", [b"x", Binary(b"x"), {"a", "b"}, {Decimal(1)}, object()])
def test_metadata_without_a_form_in_json_is_refused_by_its_path(value: object) -> None:
    assert refused(metadata={"a": {"b": [1, value]}}) == "metadata.a.b[1]"


def test_a_path_of_the_users_names_stays_short() -> None:
    assert len(refused(metadata={"k" * 300_000: b"x"})) <= 256


def test_no_metadata_is_empty_metadata() -> None:
    assert check_metadata(None) == {}


@pytest.mark.parametrize(
    ("stored", "plain"),
    [("1", 1), ("1.0", 1), ("-2.50", -2.5), ("1E+2", 100), ("0.1", 0.1), ("1E-130", 1e-130)],
)
def test_decimals_become_int_where_whole_and_float_otherwise(stored: str, plain: float) -> None:
    value = plain_json(Decimal(stored), "metadata")
    assert value == plain
    assert type(value) is type(plain)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_what_is_plain_json_already_stays_as_it_is(value: Any) -> None:
    assert plain_json(value, "metadata") == value


@pytest.mark.parametrize(
    "value",
    [
        "x" * 40_000,
        "歌" * 13_400,
        b"x" * 40_000,
        ["x" * 1_000] * 40,
        {str(number): number for number in range(2_000)},
        {"x" * 20_000, "y" * 20_000},
    ],
)
def test_an_item_that_leaves_no_room_for_its_result_is_refused(value: Any) -> None:
    assert refused(anything=value) == "item"


def test_what_is_not_ours_may_stand_on_an_item() -> None:
    assert checked(anything="x" * 39_000).key == TaskKey("task-1", "suno")


def test_each_shard_has_a_queue_of_its_own() -> None:
    assert (work_queue(3), work_queue(4)) == ("work#3", "work#4")


@pytest.mark.parametrize("metadata", [{"half": "\ud800"}, {"\udfff": 1}, {"deep": [{"half": "x\udc00"}]}])
def test_metadata_with_half_a_surrogate_pair_is_refused(metadata: dict[str, object]) -> None:
    assert refused(metadata=metadata) == "metadata"


def test_the_codes_of_failures_are_those_of_the_contract() -> None:
    assert [code.value for code in FailureCode] == [
        "invalid",
        "provider_failed",
        "not_found",
        "completed_without_results",
        "timed_out",
    ]


def test_what_is_not_said_of_a_task_is_none_of_it() -> None:
    task = WorkItem(key=TaskKey("t", "p"), queue="q", since_ms=1, deadline_ms=2, submitted_at_ms=1)
    assert (task.not_found_count, task.empty_count) == (0, 0)
    told = (task.phase, task.last_error, task.streaming_since_ms, task.suspicion, task.trouble)
    assert told == (None,) * 5
    trouble = Trouble(kind="k", count=1, since_ms=1)
    assert (trouble.told, trouble.is_kept) == (None, False)
    end = TaskEnd(status=Status.COMPLETED, detected_at_ms=2, submitted_at_ms=1)
    assert (end.truncated, end.clips) == (False, ())


def test_what_there_is_to_do_is_seen_until_the_latest_of_all() -> None:
    tasks = [pending(TaskKey(f"task-{number}", "suno"), since_ms=number) for number in (3, 9, 5)]
    assert Work().seen_until_ms == 0
    assert Work(pending=tasks[:1], event_pending=tasks[1:]).seen_until_ms == 9
    assert Work(pending=tasks[1:], event_pending=tasks[:1]).seen_until_ms == 9


@pytest.mark.parametrize(("size", "is_taken"), [(40_000, True), (40_001, False)])
@pytest.mark.parametrize(
    "filled",
    [
        lambda room: "x" * room,
        lambda room: b"x" * room,
        lambda room: ["x" * (room - 4)],
        lambda room: {"k": "x" * (room - 5)},
        lambda room: ["x" * (room - 26), 7],
        lambda room: {"x" * (room - 4)},
        lambda room: "歌" + "x" * (room - 3),
        lambda room: "\ud800" + "x" * (room - 3),
    ],
    ids=["text", "bytes", "list", "map", "number", "set", "letters", "half a letter"],
)
def test_an_item_takes_40_kb_as_dynamodb_counts_them(filled: Any, size: int, is_taken: bool) -> None:
    names = ("task_id", "task-1", "provider", "suno", "filler")
    room = size - 3 - 3 - sum(map(len, names))
    if is_taken:
        assert checked(filler=filled(room))
    else:
        assert refused(filler=filled(room)) == "item"


@pytest.mark.parametrize(
    ("timeout_s", "is_taken"), [(59, False), (60, True), (604_800, True), (604_801, False)]
)
def test_a_task_may_take_a_minute_to_a_week(timeout_s: int, is_taken: bool) -> None:
    if is_taken:
        assert checked(timeout_s=Decimal(timeout_s)).timeout_s == timeout_s
    else:
        assert refused(timeout_s=Decimal(timeout_s)) == "timeout_s"


def test_a_task_id_has_256_characters_at_most_and_a_provider_64() -> None:
    assert checked(task_id="歌" * 256, provider="p" * 64)
    assert refused(task_id="歌" * 257) == "task_id"
    assert refused(provider="p" * 65) == "provider"


def test_metadata_takes_2048_bytes_of_json_without_spaces() -> None:
    whole = {"a": [1, 2], "b": "歌" * 676 + "xx"}
    assert len('{"a":[1,2],"b":""}') + 3 * 676 + 2 == 2048
    assert checked(metadata=whole).metadata == whole
    assert refused(metadata={**whole, "b": whole["b"] + "x"}) == "metadata"


def test_a_path_is_cut_at_256_characters() -> None:
    assert refused(metadata={"k" * 300: b"x"}) == f"metadata.{'k' * 300}"[:256]


@pytest.mark.parametrize(("finished_at_ms", "delay_ms"), [(None, None), (700, 300)])
def test_how_late_an_end_was_found_is_known_where_it_says_when_it_was(
    finished_at_ms: int | None, delay_ms: int | None
) -> None:
    end = TaskEnd(
        status=Status.COMPLETED, detected_at_ms=1_000, submitted_at_ms=0, finished_at_ms=finished_at_ms
    )
    assert end.detection_delay_ms == delay_ms


def test_names_are_compared_only_where_there_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer than all else, and most items have no other attribute."""
    monkeypatch.setattr("difflib.get_close_matches", lambda *_: pytest.fail("compared"))
    fields = {
        "notify_hook": "https://example.com/",
        "notify_format": "standard",
        "metadata": {},
        "timeout_s": 60,
    }
    assert checked(**fields).timeout_s == 60


class TestStorable:
    """What DynamoDB takes of JSON."""

    @given(
        st.recursive(
            st.none()
            | st.booleans()
            | st.text()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=20,
        )
    )
    def test_what_is_let_through_has_the_form_of_an_item(self, value: Any) -> None:
        try:
            check_storable(value, "metadata")
        except InvalidInput:
            return
        assert to_attributes({"metadata": value}).keys() == {"metadata"}

    def test_what_is_not_is_named(self) -> None:
        for value, field in (
            ({"a": [0, {"b": 10**38 + 1}]}, "metadata.a[1].b"),
            ({"a": 1e126}, "metadata.a"),
            ({"a": {"": 1}}, "metadata.a"),
            ({"": 1}, "metadata"),
        ):
            with pytest.raises(InvalidInput) as caught:
                check_storable(value, "metadata")
            assert caught.value.field == field

    def test_thirty_levels_are_enough(self) -> None:
        nested: Any = 1
        for _ in range(30):
            nested = {"a": nested}
        check_storable(nested, "metadata")
        with pytest.raises(InvalidInput, match="nested deeper than 30 levels"):
            check_storable([nested], "metadata")
