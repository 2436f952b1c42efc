"""What is refused of a recipe, with the line and the reason."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.providers.recipes.support import TEXT, replaced

from tunehook.errors import InvalidInput
from tunehook.providers.recipes.recipe_file import key_lines, read_recipe, read_recipe_json


def refusal(text: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        read_recipe(text)
    assert caught.value.field == "recipe"
    return caught.value.reason


def line_of(part: str, text: str = TEXT) -> int:
    return next(number for number, line in enumerate(text.split("\n"), start=1) if part in line)


def test_a_recipe_is_read() -> None:
    recipe = read_recipe(TEXT)
    assert recipe.base_url == "https://api.h.example/base"
    assert [each.text for each in recipe.task.status] == ["status", "state"]
    assert recipe.words.succeeded == ("done", "true", "2")


def test_as_json_it_is_what_was_written_and_reads_as_the_same() -> None:
    recipe = read_recipe(TEXT)
    document = json.loads(json.dumps(recipe.as_json()))
    assert document["clips"]["title"] == ["title", "$.title"]
    assert document["ask"] == {"path": "/tasks/{task_id}?full=1"}
    assert "key" not in document
    assert read_recipe_json(document).as_json() == document


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("[ask]\n", "[aks]\n", "ask: is missing"),
        ('succeeded = ["done", true, 2]\n', "", "words.succeeded: is missing"),
        ("[answers]\n", "[answer]\n", "answer: is unknown: answers may be meant"),
        ('id = "id"\n', 'idd = "id"\n', "clips.idd: is unknown: id may be meant"),
        ('audio_url = "url"\n', 'audio = "url"\n', "clips.audio: is unknown: audio_url may be meant"),
        (
            "{ statuses = [404],",
            "{ status = [404],",
            "answers.not_found.status: is unknown: statuses may be meant",
        ),
        ('object = "data"', "object = 3", "task.object: is neither an expression nor a list of them"),
        ('object = "data"', "object = []", "task.object: must be 1 to 20 expressions"),
        (
            'object = "data"',
            'object = "data["',
            "task.object: does not compile: something is missing at its end",
        ),
        (
            'status = ["status", "state"]',
            'status = ["status", "sta te"]',
            "task.status: expression 2 does not compile: 'te' is not expected at character 5",
        ),
        (
            'title = ["title", "$.title"]',
            'title = "$title"',
            "clips.title: does not compile: Unknown token $ at character 1",
        ),
        ('object = "data"', f'object = "{"a" * 1001}"', "task.object: has 1001 characters, more than 1000"),
        ('object = "data"', 'object = "size(@)"', "task.object: calls size(), which is no function"),
        ("/{task_id}", "/{task}", "ask: has {task}, which stands for nothing: {task_id} does"),
        ("/{task_id}", "", "ask: has {task_id} neither in its path nor in its body"),
        (
            "/tasks/{task_id}?full=1",
            "tasks/{task_id}",
            "ask.path: must begin with '/' and hold visible ASCII characters without '#'",
        ),
        (
            "/tasks/{task_id}?full=1",
            "/tasks/{task_id}#1",
            "ask.path: must begin with '/' and hold visible ASCII characters without '#'",
        ),
        ("/tasks/{task_id}", "/tasks/{{task_id}", "ask.path: has a brace that stands for nothing"),
        (
            'failed = ["broken"]',
            'failed = ["Waiting-In line"]',
            "words: has 'waiting_in_line' both in queued and in failed",
        ),
        ('failed = ["broken"]', "failed = [1.5]", "words.failed: must hold texts, whole numbers or booleans"),
        ('failed = ["broken"]', 'failed = "broken"', "words.failed: must be a list"),
        ('failed = ["broken"]', 'failed = [" "]', "words.failed: must hold 1 to 64 characters each"),
        ("statuses = [420]", "statuses = [404]", "answers: has 404 both in not_found and in throttled"),
        (
            "statuses = [420]",
            "statuses = [200]",
            "answers.throttled.statuses.0: must be greater than or equal to 300",
        ),
        (
            'codes = ["slow down"]',
            'codes = ["NO-TASK"]',
            "answers: has 'no_task' both in not_found and in throttled",
        ),
        ('code = ["code", "error.code"]\n', "", "answers: has codes, and no code that says where they stand"),
        ('x-version = "3"', "x-version = 3", "headers.x-version: must be a valid string"),
        ("x-version = ", "host = ", "headers: must not set host"),
        ("x-version = ", "Authorization = ", "headers: must not set authorization"),
        ('base_url = "https://', 'base_url = "ftp://', "base_url: is not an http(s) URL"),
        (
            'audio_url = "url"\n',
            'audio_url = "url"\noutput_url = "url"\n',
            "clips: has both output_url and audio_url: an output is one file",
        ),
        (
            'audio_url = "url"\nstream_url = "stream"\ntext = "words"\n',
            "",
            "clips: names no result: one of audio_url, audio_source_url, video_url, stream_url, text, output_url",
        ),
        (
            'audio_url = "url"\nstream_url = "stream"\ntext = "words"\n',
            'output_url = "@"\noutput_type = "song"\n',
            'clips.output_type: must be one of image, audio, video, file, or { expression = "..." }',
        ),
    ],
)
def test_a_mistake_is_refused_with_its_line_and_the_reason(old: str, new: str, reason: str) -> None:
    text = replaced((old, new))
    said = refusal(text)
    line, _, rest = said.removeprefix("line ").partition(": ")
    assert rest == reason
    named = reason.partition(":")[0].split(".")[-1]
    place = text.split("\n")[int(line) - 1]
    is_missing = reason.endswith("is missing")
    assert is_missing or named in place or place.strip(" []") in reason or named == "0"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[ask]\npath = '/x'\n[ask]", "line 3: is no TOML: Cannot declare ('ask',) twice"),
        ("[ask]\npath = ", "line 2: is no TOML: Invalid value"),
        ('about = """a\nb', "line 2: is no TOML: Unterminated string"),
        ("a = " + "[" * 5_000, "is no TOML that can be read"),
        ("a = " + "9" * 5_000, "is no TOML that can be read"),
        ("#" * 32_001, "takes 32001 bytes, more than 32000"),
        ("", "line 1: ask: is missing"),
        ("[task]\nstatus = 's'", "line 1: ask: is missing"),
        (
            "[words]\nsucceeded = ['x']\n[ask]\npath = '/{task_id}'\n[task]\n",
            "line 5: task.status: is missing",
        ),
    ],
    ids=lambda each: each[:40],
)
def test_what_is_no_recipe_at_all_is_refused(text: str, reason: str) -> None:
    assert refusal(text) == reason


MORE = """
[key]
in = "header"
name = "x-key"

[ask_many]
method = "POST"
path = "/tasks/query"
body = { ids = "{task_ids}" }
ids_per_call = 20
tasks = "data[]"
id = "id"

[result]
path = "/files/{file_id}"
values = { file_id = "file" }
failed = { statuses = [422] }

[submit]
actions = { music = "/music" }
callback = "hook.url"
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ('in = "header"', 'in = "cookie"', "in =", "key.in: must be 'bearer', 'header' or 'query'"),
        ('in = "header"', "", "[key]", 'key: has a name or a prefix only with in = "header" or "query"'),
        ('name = "x-key"', "", "[key]", "key: needs the name of the header"),
        ('name = "x-key"', 'name = "x key"', "[key]", "key: has a name that no header and no query can have"),
        ('name = "x-key"', 'name = "X-Version"', "", "has a header x-version, where the key goes"),
        ('method = "POST"', "", "[ask_many]", 'ask_many: has a body, which needs method = "POST"'),
        ('method = "POST"', 'method = "PUT"', "method", "ask_many.method: must be 'GET' or 'POST'"),
        (
            '"{task_ids}"',
            '"{task_id}"',
            "[ask_many]",
            "ask_many: has {task_id}, which stands for nothing: {task_ids} does",
        ),
        (
            '"{task_ids}"',
            "1979-05-27",
            "body",
            "ask_many.body: has no form in JSON (a date, or a number that is none)",
        ),
        (
            '"{task_ids}"',
            "inf",
            "body",
            "ask_many.body: has no form in JSON (a date, or a number that is none)",
        ),
        (
            "ids_per_call = 20",
            "ids_per_call = 501",
            "ids_per",
            "ask_many.ids_per_call: must be less than or equal to 500",
        ),
        (
            "ids_per_call = 20",
            "ids_per_call = '20'",
            "ids_per",
            "ask_many.ids_per_call: must be a valid integer",
        ),
        (
            "{file_id}",
            "{file}",
            "[result]",
            "result: has {file}, which stands for nothing: {file_id}, {task_id} does",
        ),
        (
            '"/music"',
            '"/music/{task_id}"',
            "[submit]",
            "submit: has a brace in a path: before there is a task, nothing can stand there",
        ),
        ('"hook.url"', '"hook..url"', "callback", "submit.callback: String should match pattern"),
        (
            'callback = "hook.url"',
            'callback = "hook.url"\ncallback_query = "h"',
            "[submit]",
            "submit: has both callback and callback_query: one of them is enough",
        ),
        (
            "actions = { music",
            "actions = { 'mu sic'",
            "actions",
            "submit.actions.mu sic: String should match pattern",
        ),
    ],
)
def test_a_mistake_in_what_is_optional_too(old: str, new: str, line: str, reason: str) -> None:
    text = replaced((old, new), text=TEXT + MORE)
    number, _, rest = refusal(text).removeprefix("line ").partition(": ")
    assert rest.startswith(reason)
    first = TEXT.count("\n")
    assert line in text.split("\n")[int(number) - 1]
    assert not line or int(number) > first


def test_the_first_mistake_of_the_text_is_told() -> None:
    text = replaced(('object = "data"', "object = 1"), ('failed = ["broken"]', "failed = 1"))
    assert refusal(text).startswith(f"line {line_of('object = 1', text)}: task.object")


@pytest.mark.parametrize(
    ("given", "field", "reason"),
    [
        ({"ask": {"path": "/x"}}, "recipe.ask", "has {task_id} neither in its path nor in its body"),
        ({"words": {"failed": 3}}, "recipe.ask", "is missing"),
        ({"sk-secret": 1, "ask": {"path": "/{task_id}"}}, "recipe.task", "is missing"),
        ([], "recipe", "is no JSON object"),
        ("x", "recipe", "is no JSON object"),
        ({"about": "x" * 40_000}, "recipe", "takes 40013 bytes, more than 32000"),
    ],
)
def test_a_recipe_as_json_is_refused_by_its_field(given: object, field: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_recipe_json(given)
    assert (caught.value.field, caught.value.reason) == (field, reason)


@pytest.mark.parametrize(
    ("place", "field"),
    [((), "recipe"), (("words",), "recipe.words"), (("answers", "refused"), "recipe.answers.refused")],
)
def test_what_is_unknown_is_not_quoted_of_a_secret(place: tuple[str, ...], field: str) -> None:
    document = read_recipe(TEXT).as_json()
    inner = document
    for name in place:
        inner = inner[name]
    inner["skSecret"] = 1
    with pytest.raises(InvalidInput) as caught:
        read_recipe_json(document)
    assert (caught.value.field, caught.value.reason) == (field, "has an unknown field")


LINES = """\
a = 1 # [no.table]
"b c".d = [ # first
  { e = "}", f = [1, 2] },
  '''
  g = 1
  ''',
]

[t.'u']
v = \"\"\"\\
  w = 2 \\\"\"\"
  \"\"\"
x = { y = { z = 1 } }
moment = 1979-05-27 07:32:00
[[l]]
m = 1
[[l]]
m = 2
[l.n]
o = 'p'
"""


def test_the_lines_of_keys_are_known_however_they_are_written() -> None:
    lines = key_lines(LINES)
    expected = {
        ("a",): 1,
        ("b c",): 2,
        ("b c", "d"): 2,
        ("b c", "d", 0): 3,
        ("b c", "d", 0, "f"): 3,
        ("b c", "d", 1): 4,
        ("t",): 9,
        ("t", "u"): 9,
        ("t", "u", "v"): 10,
        ("t", "u", "x"): 13,
        ("t", "u", "x", "y", "z"): 13,
        ("t", "u", "moment"): 14,
        ("l",): 15,
        ("l", 0, "m"): 16,
        ("l", 1, "m"): 18,
        ("l", 1, "n", "o"): 20,
    }
    assert {path: lines.get(path) for path in expected} == expected


PIECES = st.sampled_from(
    [
        *TEXT.split("\n"),
        *(
            "[",
            "]",
            "[[a]]",
            "a",
            "=",
            "1",
            '"',
            "'",
            '"""',
            "'''",
            "{",
            "}",
            ",",
            ".",
            "#",
            "\\",
            "é",
            "\r",
            "\x00",
        ),
        *(
            "[a]",
            "a.b = 1",
            "= {",
            "[[a.b]]",
            "'a'.b = '''",
            '"\\u00e9" = 1',
            "1979-05-27",
            "-inf",
            "\n",
            "\n\n",
        ),
    ]
)


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(st.lists(st.tuples(st.integers(0, len(TEXT)), PIECES, st.integers(0, 30)), min_size=1, max_size=4))
def test_whatever_is_done_to_a_recipe_it_is_read_or_refused_with_a_reason(
    edits: list[tuple[int, str, int]],
) -> None:
    text = TEXT
    for at, piece, removed in edits:
        text = text[:at] + piece + text[at + removed :]
    reason = "line 1: it is read"
    try:
        read_recipe(text)
    except InvalidInput as error:
        reason = error.reason
    match = re.match(r"line (\d+): .", reason)
    if match is not None:
        assert 1 <= int(match[1]) <= text.count("\n") + text.count("\r") + 1
    else:
        assert reason == "is no TOML that can be read"
