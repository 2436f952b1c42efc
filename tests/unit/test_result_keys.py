import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tunehook.ids import digest
from tunehook.result_keys import asset_key, inline_key, manifest_key, notice_key, safe_part, task_prefix


def test_the_keys_of_a_task_lie_under_its_provider_and_id() -> None:
    assert manifest_key("suno", "task-1") == "results/suno/task-1/manifest.json"
    assert asset_key("suno", "task-1", "clip-1", "audio", "mp3") == "results/suno/task-1/clip-1/audio.mp3"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a1B-_.c", "a1B-_.c"),
        ("../../etc", "..%2F..%2Fetc"),
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("X.", "X."),
        ("X", "X"),
        ("", ""),
        ("a/b", "a%2Fb"),
        ("歌", "%E6%AD%8C"),
        ("a~b", "a%7Eb"),
        ("a%2Fb", "a%252Fb"),
        ("a\x00\n", "a%00%0A"),
    ],
)
def test_what_could_leave_its_place_is_encoded(text: str, part: str) -> None:
    assert safe_part(text) == part


@given(st.text(min_size=1, max_size=300))
@example("\ud800")
def test_a_part_is_short_ascii_without_a_slash_and_never_dots_alone(text: str) -> None:
    part = safe_part(text)
    assert part.isascii()
    assert part.isprintable()
    assert "/" not in part
    assert part.strip(".")
    assert len(part) <= 200


LONG = "x" * 167


@given(st.text(max_size=250), st.text(max_size=250))
@example(LONG + "a" * 40, LONG + "b" * 40)
@example("A", "a")
@example("é", "e\u0301")
@example("a/b", "a%2Fb")
def test_different_texts_have_different_parts(one: str, other: str) -> None:
    assert (safe_part(one) == safe_part(other)) == (one == other)


def test_a_short_text_cannot_spell_the_part_of_a_long_one() -> None:
    long_part = safe_part("x" * 300)
    assert safe_part(long_part) != long_part


def test_a_key_is_within_the_1024_bytes_of_s3() -> None:
    key = asset_key("x" * 64, "歌" * 256, "歌" * 128, "large_cover", "jpeg")
    assert len(key.encode()) <= 1024
    assert key.startswith(task_prefix("x" * 64, "歌" * 256))


def test_200_characters_are_the_longest_part_that_is_kept_as_it_is() -> None:
    assert safe_part("x" * 200) == "x" * 200
    assert safe_part("x" * 201) == "x" * 167 + "~" + digest("x" * 201)


@pytest.mark.parametrize("text", ["x" * 200, "~" + "x" * 197, "歌" * 22])
def test_a_part_of_just_200_characters_stays_as_it_is_and_a_longer_one_ends_in_a_digest(text: str) -> None:
    assert len(safe_part(text)) <= 200
    assert "~" not in safe_part(text)
    longer = text + "x" * (201 - len(safe_part(text)))
    assert safe_part(longer) == f"{safe_part(text + 'x')[:167]}~{digest(longer)}"
    assert len(safe_part(longer)) == 200


def test_what_waits_for_fulfillment_lies_by_its_event() -> None:
    assert inline_key("evt_1", "a/b", "audio") == "inline/evt_1/a%2Fb/audio"
    assert notice_key("evt/1") == "notices/evt%2F1.json"
