"""What a described kind asks, and how it reads answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.providers.recipes.support import TEXT, adapter, answer, replaced, task

from tunehook.errors import InvalidInput
from tunehook.providers.adapter import Follow, ManyUnknown, Request, Screening
from tunehook.providers.outcomes import (
    Completed,
    CompletedWithoutResults,
    Failed,
    NotFound,
    Outcome,
    Pending,
    Throttled,
    Transient,
    Unauthorised,
)
from tunehook.providers.submission_answers import Refused, Submitted, Unclear

CLIP = {"id": "c1", "title": "Rain", "length": 120.5, "url": "https://h.example/1.mp3"}
CALLBACK = "https://tunehook.example/v1/callbacks/p/t?x=1&y"


def read(body: Any, status: int = 200, text: str = TEXT, **headers: str) -> Any:
    outcome = adapter(text).read(answer(body, status, **headers))
    assert isinstance(outcome, Outcome | Follow)
    return outcome


class TestRequests:
    def test_an_id_is_one_segment_of_the_path(self) -> None:
        request = adapter().request("a/../b?c=ä")
        assert request == Request("GET", "/tasks/a%2F..%2Fb%3Fc%3D%C3%A4?full=1", None, {"x-version": "3"})

    @pytest.mark.parametrize("task_id", ["", ".", "..", "\ud800"])
    def test_an_id_that_no_path_can_carry_is_a_value_error(self, task_id: str) -> None:
        with pytest.raises(ValueError):  # noqa: PT011 - it has no words
            adapter().request(task_id)

    def test_a_body_has_the_id_as_it_is(self) -> None:
        text = replaced(
            (
                'path = "/tasks/{task_id}?full=1"',
                'method = "POST"\npath = "/q"\nbody = { a = ["{task_id}", 1], b = "id:{task_id}!" }',
            )
        )
        assert adapter(text).request("a/b").body == {"a": ["a/b", 1], "b": "id:a/b!"}

    @pytest.mark.parametrize(
        ("key", "headers", "query"),
        [
            ('in = "bearer"', {"authorization": "Bearer s/k"}, ""),
            ('in = "header"\nname = "X-Key"', {"x-key": "s/k"}, ""),
            ('in = "header"\nname = "Authorization"\nprefix = "Key "', {"authorization": "Key s/k"}, ""),
            ('in = "query"\nname = "key"', {}, "key=s%2Fk"),
        ],
    )
    def test_the_key_stands_where_the_recipe_says(
        self, key: str, headers: dict[str, str], query: str
    ) -> None:
        described = adapter(f"{TEXT}\n[key]\n{key}\n")
        assert described.key_headers("s/k") == headers
        assert described.key_query("s/k") == query


class TestOfOneTask:
    @pytest.mark.parametrize("status", ["waiting in line", "Waiting-In_LINE", " waiting in line "])
    def test_a_queued_task_is_pending(self, status: str) -> None:
        expected = Pending("queued", status.strip(), datetime(2026, 3, 1, tzinfo=UTC))
        assert read(task(status, created="2026-03-01T00:00:00Z")) == expected

    @pytest.mark.parametrize(("status", "word"), [("running", "running"), (1, "1"), (1.0, "1")])
    def test_words_may_be_numbers(self, status: Any, word: str) -> None:
        assert read(task(status)) == Pending("processing", word)

    @pytest.mark.parametrize("status", ["pondering", "UPLOAD_FAILED", "canceled", 9, False, -1.5])
    def test_an_unknown_word_leaves_it_pending_even_where_it_ends_like_a_failure(self, status: Any) -> None:
        assert read(task(status)) == Pending("processing", str(status).replace("False", "false"), known=False)

    @pytest.mark.parametrize("status", ["done", "DONE", True, 2])
    def test_a_word_for_success_completes_it(self, status: Any) -> None:
        completed = read(task(status, songs=[CLIP], created=1773486571))
        assert isinstance(completed, Completed)
        assert completed.result.submitted_at == datetime(2026, 3, 14, 11, 9, 31, tzinfo=UTC)
        assert completed.result.provider_object["songs"] == [CLIP]
        (clip,) = completed.result.clips
        assert (clip.clip_id, clip.title, clip.duration_s) == ("c1", "Rain", 120.5)
        assert clip.audio_url == "https://h.example/1.mp3"

    def test_a_word_for_failure_fails_it_with_its_reason(self) -> None:
        failed = read(task("broken", error={"message": "out of luck"}, songs=[CLIP]))
        assert isinstance(failed, Failed)
        assert failed.reason == "out of luck"
        assert [clip.clip_id for clip in failed.result.clips] == ["c1"]

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            ("bad", "bad"),
            (["bad", "worse"], "bad"),
            ([{"msg": "bad"}], "bad"),
            ({"code": 7}, "7"),
            ({}, "the provider gave no reason"),
            (None, "the provider gave no reason"),
            ("x" * 2_000, "x" * 1_000),
        ],
    )
    def test_a_reason_may_be_an_object_or_a_list(self, error: Any, reason: str) -> None:
        assert read(task("broken", error=error)).reason == reason

    def test_the_first_expression_that_gives_something_counts(self) -> None:
        assert read({"data": {"status": "", "state": "running"}}) == Pending("processing", "running")

    def test_a_status_that_is_no_word_is_none(self) -> None:
        outcome = read({"data": {"status": ["done"]}})
        assert outcome == Transient("HTTP 200 (the recipe finds no status in it)")

    @pytest.mark.parametrize("body", [{}, {"data": None}, {"data": "done"}, [], [1], {"status": "done"}])
    def test_an_answer_without_a_status_is_none_of_a_task(self, body: Any) -> None:
        assert read(body) == Transient("HTTP 200 (the recipe finds no status in it)")

    def test_an_answer_may_be_a_list(self) -> None:
        text = replaced(('object = "data"', 'object = "[0]"'))
        assert read([{"status": "running"}], text=text) == Pending("processing", "running")

    def test_what_gives_no_value_is_told(self) -> None:
        text = replaced(('["status", "state"]', '["length(state)", "status"]'))
        problem = (
            "task.status: no value, because length() takes string or array or object, and was given null"
        )
        assert read(task("running"), text=text) == Pending("processing", "running", problem=problem)
        assert read({"data": {}}, text=text) == Transient(
            f"HTTP 200 (the recipe finds no status in it: {problem})"
        )

    @pytest.mark.parametrize(
        ("unit", "given", "expected"),
        [
            ("s", 1773486571, datetime(2026, 3, 14, 11, 9, 31, tzinfo=UTC)),
            ("s", "1773486571", datetime(2026, 3, 14, 11, 9, 31, tzinfo=UTC)),
            ("ms", 1773486571500, datetime(2026, 3, 14, 11, 9, 31, 500_000, tzinfo=UTC)),
            ("us", 1773486571500000, datetime(2026, 3, 14, 11, 9, 31, 500_000, tzinfo=UTC)),
            ("ms", 1773486571, None),
            ("s", "2026-03-14T11:09:31Z", None),
            ("iso", "2026-03-14T11:09:31Z", datetime(2026, 3, 14, 11, 9, 31, tzinfo=UTC)),
            ("iso", 1773486571, None),
            ("s", 0, None),
            ("s", [1], None),
        ],
    )
    def test_times_are_in_the_unit_of_the_recipe(
        self, unit: str, given: Any, expected: datetime | None
    ) -> None:
        text = replaced(('submitted_at = "created"', f'submitted_at = "created"\ntime_unit = "{unit}"'))
        assert read(task("running", created=given), text=text).submitted_at == expected


class TestOfErrors:
    @pytest.mark.parametrize(
        ("body", "status", "expected"),
        [
            ({"code": "no_task", "message": "what?"}, 200, NotFound("HTTP 200: no_task what?")),
            ({"code": 7}, 400, NotFound("HTTP 400: 7")),
            ({"message": "what?"}, 404, NotFound("HTTP 404: what?")),
            ([], 404, NotFound("HTTP 404")),
            ({"error": {"code": "Slow Down"}}, 200, Throttled(detail="HTTP 200: Slow Down")),
            ({}, 420, Throttled(detail="HTTP 420")),
            ({"code": "bad_key"}, 200, Unauthorised("HTTP 200: bad_key")),
            ({}, 402, Unauthorised("no credit left: HTTP 402", "credit")),
            # As every kind reads them.
            ({"message": "too many"}, 429, Throttled(detail="HTTP 429: too many")),
            ({"message": "bad token"}, 401, Unauthorised("HTTP 401: bad token")),
            ({"message": "task not found"}, 200, NotFound("HTTP 200: task not found")),
            ({"code": 500, "message": "oh"}, 200, Transient("HTTP 200: 500 oh")),
            ({}, 500, Transient("HTTP 500")),
            (b"oh", 404, Transient("HTTP 404")),
            (b"", 200, Transient("HTTP 200: the body is empty")),
            ("text", 200, Transient("HTTP 200 (not the expected envelope)")),
            (task("done", songs=[CLIP]), 500, Transient("HTTP 500")),
        ],
    )
    def test_what_the_recipe_says_counts_and_else_what_is_known_of_any_answer(
        self, body: Any, status: int, expected: Outcome
    ) -> None:
        assert read(body, status) == expected

    def test_how_long_to_wait_is_read(self) -> None:
        assert read({}, 420, **{"retry-after": "7"}) == Throttled(7.0, detail="HTTP 420")

    def test_what_stands_before_the_api_says_nothing_of_a_task(self) -> None:
        outcome = read({"cloudflare_error": True}, 404)
        assert outcome == Transient("HTTP 404: an error of Cloudflare, not the gateway")

    @pytest.mark.parametrize(
        ("body", "outcome"),
        [
            (
                {"code": "slow down", "base": {"msg": "60 a minute"}},
                Throttled(detail="HTTP 200: 60 a minute"),
            ),
            ({"code": 7, "base": {"msg": "never heard of it"}}, NotFound("HTTP 200: never heard of it")),
            ({"code": "slow down", "base": {"msg": ""}}, Throttled(detail="HTTP 200: slow down")),
            (
                {"base": {"msg": "odd"}},
                Transient("HTTP 200 (the recipe finds no status in it; it says: odd)"),
            ),
        ],
    )
    def test_an_error_s_words_stand_where_the_recipe_says(self, body: Any, outcome: Outcome) -> None:
        assert read(body, text=replaced(("[answers]", '[answers]\nmessage = "base.msg"'))) == outcome


class TestClips:
    def test_one_bad_clip_leaves_the_others(self) -> None:
        text = replaced(('audio_url = "url"', "audio_url = \"join('', ['https://h.example/', path])\""))
        songs = [{"path": "1.mp3"}, {"path": None}, {"path": "3.mp3"}]
        completed = read(task("done", songs=songs), text=text)
        urls = [clip.audio_url for clip in completed.result.clips]
        assert urls == ["https://h.example/1.mp3", None, "https://h.example/3.mp3"]
        problem = "clips.audio_url: no value, because join() takes array-string, and was given null"
        assert completed.result.unusable_links == (problem,)

    def test_what_the_clips_are_in_may_give_a_field(self) -> None:
        songs = [{"url": "https://h.example/1.mp3"}, CLIP]
        completed = read(task("done", songs=songs, title="Both"))
        assert [clip.title for clip in completed.result.clips] == ["Both", "Rain"]

    @pytest.mark.parametrize(
        ("fields", "count"),
        [
            ({"songs": [CLIP, None, CLIP]}, 2),
            ({"songs": [], "song": CLIP}, 1),
            ({"songs": {}, "song": CLIP}, 1),
            ({"songs": CLIP}, 1),
            ({"songs": [CLIP] * 501}, 500),
        ],
    )
    def test_a_list_or_one_alone_is_taken_as_it_comes(self, fields: dict[str, Any], count: int) -> None:
        described = adapter(
            replaced(('id = "id"\n', ""), ('audio_url = "url"', "text = \"'x'\""), ('text = "words"\n', ""))
        )
        trace = described.explain(answer(task("done", **fields))).gave
        assert len({each.name.partition(".")[0] for each in trace if each.name.startswith("clips[")}) == count

    def test_a_task_that_goes_on_has_its_clips_already(self) -> None:
        pending = read(task("running", songs=[CLIP]))
        assert isinstance(pending, Pending)
        assert pending.read is not None
        assert [clip.clip_id for clip in pending.read().clips] == ["c1"]
        assert pending.may_have_clips

    def test_a_text_is_a_result(self) -> None:
        completed = read(task("done", song={"words": ["one", "two"], "id": "t"}))
        assert isinstance(completed, Completed)
        (clip,) = completed.result.clips
        assert (clip.clip_id, clip.text, clip.audio_url) == ("t", "one\ntwo", None)

    def test_a_clip_that_still_streams_is_a_result_that_is_coming(self) -> None:
        completed = read(task("done", songs=[{"stream": "https://h.example/s"}]))
        assert isinstance(completed, Completed)
        assert completed.is_streaming

    def test_links_are_relative_to_the_base_url_and_files_may_be_inside(self) -> None:
        completed = read(task("done", songs=[{"url": "/a.mp3"}, {"url": "data:audio/mpeg;base64,AAAA"}]))
        first, second = completed.result.clips
        assert first.audio_url == "https://api.h.example/a.mp3"
        assert second.inline == ("audio",)
        assert [file.content for file in completed.result.inline_files] == [b"\0\0\0"]

    def test_without_a_file_it_is_completed_without_results_and_says_what_gave_no_value(self) -> None:
        assert isinstance(read(task("done")), CompletedWithoutResults)
        text = replaced(('each = ["songs", "song"]', 'each = "keys(songs)"'))
        outcome = read(task("done", songs=3), text=text)
        assert outcome.reason == "clips.each: no value, because keys() takes object, and was given number"

    def test_without_clips_in_the_recipe_it_is_completed_without_results(self) -> None:
        start = TEXT.index("[clips]")
        text = TEXT[:start] + TEXT[TEXT.index("[answers]") :]
        assert isinstance(read(task("done"), text=text), CompletedWithoutResults)

    OUTPUTS = replaced(
        (
            'audio_url = "url"\nstream_url = "stream"\ntext = "words"',
            'output_url = ["link", "@"]\noutput_type = { expression = "kind" }',
        ),
        ('each = ["songs", "song"]', 'each = "output"'),
    )

    def test_an_output_is_a_clip_with_one_file(self) -> None:
        output = ["https://h.example/1.png", {"link": "https://h.example/2", "kind": "video", "title": "Two"}]
        completed = read(task("done", output=output, title="All"), text=self.OUTPUTS)
        assert isinstance(completed, Completed)
        first, second = completed.result.clips
        assert (first.image_url, first.is_output, first.title) == ("https://h.example/1.png", True, "All")
        assert (second.video_url, second.title, second.clip_id) == ("https://h.example/2", "Two", "clip-2")

    def test_a_list_of_links_is_one_output_each_and_nothing_is_none(self) -> None:
        text = replaced(('output_url = ["link", "@"]', 'output_url = "links"'), text=self.OUTPUTS)
        output = [{"links": ["https://h.example/1.png", "https://h.example/2.png"]}, {"links": []}, {}]
        completed = read(task("done", output=output), text=text)
        assert [clip.image_url for clip in completed.result.clips] == [
            "https://h.example/1.png",
            "https://h.example/2.png",
        ]


MANY = (
    TEXT
    + """
[ask_many]
method = "POST"
path = "/query?ids={task_ids}"
body = { ids = "{task_ids}", text = "of {task_ids}" }
ids_per_call = 50
tasks = "tasks"
id = ["id", "task_id"]
"""
)


class TestOfManyTasks:
    def test_the_ids_are_a_list_or_joined_by_commas(self) -> None:
        described = adapter(MANY)
        assert described.ids_per_call == 50
        request = described.many_request(["a", "b/c"], 1)
        assert request.path == "/query?ids=a,b%2Fc"
        assert request.body == {"ids": ["a", "b/c"], "text": "of a,b/c"}

    def test_each_task_is_read_and_one_without_a_status_is_asked_singly(self) -> None:
        body = {
            "tasks": [
                {"id": "a", "status": "running"},
                {"task_id": 5, "status": "broken"},
                {"id": "c"},
                {},
                3,
            ]
        }
        screening = adapter(MANY).read_many(answer(body))
        assert isinstance(screening, Screening)
        assert screening.found["a"] == Pending("processing", "running")
        assert isinstance(screening.found["5"], Failed)
        assert screening.found["c"] is None
        assert screening.found.keys() == {"a", "5", "c"}

    @pytest.mark.parametrize(
        ("body", "status", "expected"),
        [
            ({"tasks": None}, 200, Transient("HTTP 200 (the recipe finds no tasks in it)")),
            ({}, 420, Throttled(detail="HTTP 420")),
            ({"code": "bad_key"}, 200, Unauthorised("HTTP 200: bad_key")),
            ({"detail": "x"}, 404, ManyUnknown()),
            ({"code": "x"}, 404, Transient("HTTP 404: x")),
            ({}, 500, Transient("HTTP 500")),
        ],
    )
    def test_an_error_is_about_all_of_them(self, body: Any, status: int, expected: Any) -> None:
        assert adapter(MANY).read_many(answer(body, status)) == expected

    def test_those_for_which_no_steps_are_left_are_asked_singly(self) -> None:
        text = replaced(('["status", "state"]', "\"l[*].[@, @] | 'running'\""), text=MANY)
        tasks = [{"id": str(number), "l": [1] * 2_000} for number in range(10)]
        screening = adapter(text).read_many(answer({"tasks": tasks}))
        assert isinstance(screening, Screening)
        known = [task_id for task_id, outcome in screening.found.items() if outcome is not None]
        assert known == ["0", "1", "2", "3"]


RESULT = (
    TEXT
    + """
[result]
path = "/files/{file}/{task_id}"
values = { file = "file_id" }
object = "payload"
failed = { statuses = [422], codes = ["rejected"] }
reason = "detail[].msg"
"""
)


class TestOfASecondQuestion:
    def follow(self, text: str = RESULT, **fields: Any) -> Follow:
        outcome = read(task("done", file_id="f/1", **fields), text=text)
        assert isinstance(outcome, Follow)
        return outcome

    def test_it_is_asked_with_values_of_the_first_answer(self) -> None:
        assert self.follow().request("t/1").path == "/files/f%2F1/t%2F1"

    @pytest.mark.parametrize("status", ["running", "broken", "pondering"])
    def test_no_other_word_leads_to_it(self, status: str) -> None:
        assert not isinstance(read(task(status, file_id="f"), text=RESULT), Follow)

    def test_its_answer_has_the_clips(self) -> None:
        completed = self.follow(created=1773486571).read(answer({"payload": {"songs": [CLIP]}}))
        assert isinstance(completed, Completed)
        assert completed.result.clips[0].audio_url == CLIP["url"]
        assert completed.result.submitted_at == datetime(2026, 3, 14, 11, 9, 31, tzinfo=UTC)
        assert completed.result.provider_object["status"] == "done"
        assert completed.result.provider_object["result"] == {"songs": [CLIP]}

    @pytest.mark.parametrize(
        ("body", "status", "expected"),
        [
            ({}, 420, Throttled(detail="HTTP 420")),
            ({"code": "bad_key"}, 200, Unauthorised("HTTP 200: bad_key")),
            ({}, 404, Transient("HTTP 404: the task has succeeded, and its result is not found")),
            ({}, 500, Transient("HTTP 500")),
            (b"", 200, Transient("HTTP 200: the body is empty")),
            ({"payload": None}, 200, Transient("HTTP 200 (the recipe finds no result in it)")),
            ({"code": 500, "message": "oh", "payload": {}}, 200, Transient("HTTP 200: 500 oh")),
            (b"<html>", 422, Transient("HTTP 422: a web page, not the gateway")),
        ],
    )
    def test_a_trouble_is_no_end(self, body: Any, status: int, expected: Outcome) -> None:
        assert self.follow().read(answer(body, status)) == expected

    @pytest.mark.parametrize(("code", "status"), [(None, 422), ("Rejected", 200)])
    def test_what_the_recipe_names_is_the_tasks_failure(self, code: str | None, status: int) -> None:
        failed = self.follow().read(answer({"code": code, "detail": [{"msg": "no faces"}]}, status))
        assert isinstance(failed, Failed)
        assert failed.reason == "no faces"

    def test_a_value_that_is_missing_is_told(self) -> None:
        outcome = read(task("done"), text=RESULT)
        assert isinstance(outcome, CompletedWithoutResults)
        assert outcome.reason == "result.values.file: gives nothing"

    def test_in_an_answer_about_many_it_is_left_to_a_single_question(self) -> None:
        many = MANY + RESULT.removeprefix(TEXT)
        screening = adapter(many).read_many(
            answer({"tasks": [{"id": "a", "status": "done", "file_id": "f"}]})
        )
        assert screening == Screening({"a": None})


SUBMIT = (
    TEXT
    + """
[submit]
actions = { music = "/songs?v=2", bare = "" }
headers = { x-more = "m" }
callback = "config.hook.url"
id = ["id", "data.task_id"]

[callback]
id = ["task_ids", "data.id"]
"""
)
QUERY = replaced(('callback = "config.hook.url"', 'callback_query = "hook"'), text=SUBMIT)


class TestSubmissions:
    def test_the_callback_goes_into_the_body(self) -> None:
        request = adapter(SUBMIT).submission("music", {"a": 1, "config": {"b": 2}}, CALLBACK)
        body = {"a": 1, "config": {"b": 2, "hook": {"url": CALLBACK}}}
        assert request == Request("POST", "/songs?v=2", body, {"x-version": "3", "x-more": "m"})

    @pytest.mark.parametrize(
        ("action", "path"),
        [
            ("music", "/songs?v=2&hook=https%3A%2F%2Ftunehook.example%2Fv1%2Fcallbacks%2Fp%2Ft%3Fx%3D1%26y"),
            ("bare", "?hook=https%3A%2F%2Ftunehook.example%2Fv1%2Fcallbacks%2Fp%2Ft%3Fx%3D1%26y"),
        ],
    )
    def test_or_into_the_query(self, action: str, path: str) -> None:
        assert adapter(QUERY).submission(action, {"a": 1}, CALLBACK).path == path

    @pytest.mark.parametrize(
        ("body", "wants"),
        [
            ({}, True),
            ({"config": None}, True),
            ({"config": {"hook": {"url": ""}}}, True),
            ({"config": {"hook": {"url": "https://mine.example"}}}, False),
            ({"config": "x"}, False),
        ],
    )
    def test_one_that_is_there_stays(self, body: dict[str, Any], wants: bool) -> None:
        described = adapter(SUBMIT)
        assert described.wants_callback(body) is wants
        if not wants:
            assert described.submission("music", body, CALLBACK).body == body

    def test_without_a_place_for_it_none_is_wanted(self) -> None:
        assert not adapter().wants_callback({})
        assert not adapter(replaced(('callback = "config.hook.url"\n', ""), text=SUBMIT)).wants_callback({})
        assert adapter(QUERY).wants_callback({"hook": "x"})

    def test_an_id_of_256_characters_is_read_whole_and_a_longer_one_is_not_cut_to_it(self) -> None:
        read = adapter(SUBMIT).submitted_id
        assert read({"id": "x" * 256}) == "x" * 256
        assert read({"id": "x" * 300}) != "x" * 256

    def test_an_action_that_there_is_not_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match="must be one of bare, music"):
            adapter(SUBMIT).submission("video", {})
        with pytest.raises(InvalidInput, match="has a recipe through which nothing can be submitted"):
            adapter().submission("music", {})

    @pytest.mark.parametrize(
        ("body", "status", "expected"),
        [
            ({"id": "t-1"}, 201, Submitted("t-1")),
            ({"id": 17, "data": {"task_id": "x"}}, 200, Submitted("17")),
            ({"id": None, "data": {"task_id": "t-1"}}, 200, Submitted("t-1")),
            ({"task_id": "t-123456"}, 200, Unclear("HTTP 200: the recipe finds no task id in it")),
            ({"message": "bad prompt"}, 400, Refused(400, {"message": "bad prompt"})),
            ({"code": "bad_key"}, 200, Refused(200, {"code": "bad_key"})),
        ],
    )
    def test_the_recipe_says_where_the_new_id_is(self, body: Any, status: int, expected: Any) -> None:
        assert adapter(SUBMIT).read_submission(answer(body, status)) == expected

    def test_what_says_no_and_names_a_task_is_unclear(self) -> None:
        read = adapter(SUBMIT).read_submission(answer({"code": "bad_key", "id": "t-123456"}))
        assert isinstance(read, Unclear)

    @pytest.mark.parametrize(
        ("body", "ids"),
        [
            ({"task_ids": ["a", "b", "a", None, {}]}, ("a", "b")),
            ({"task_ids": "a"}, ("a",)),
            ({"task_ids": [], "data": {"id": "a"}}, ()),
            ({"data": {"id": 5}}, ("5",)),
            ({}, ()),
            ("x", ()),
            ({"task_ids": list(range(50))}, tuple(map(str, range(20)))),
        ],
    )
    def test_the_recipe_says_where_a_callback_has_its_tasks(self, body: Any, ids: tuple[str, ...]) -> None:
        assert adapter(SUBMIT).callback_ids(body) == ids


class TestExplained:
    def test_each_expression_is_told_with_what_it_gave(self) -> None:
        text = replaced(('["status", "state"]', '["length(state)", "status"]'))
        explained = adapter(text).explain(answer(task("running", created=5)))
        assert [(each.name, each.expression, each.value) for each in explained.gave] == [
            ("answers.code", "code", None),
            ("answers.code", "error.code", None),
            ("task.object", "data", {"status": "running", "created": 5}),
            ("task.status", "length(state)", None),
            ("task.status", "status", "running"),
            ("task.submitted_at", "created", 5),
        ]
        assert explained.gave[3].problem == (
            "no value, because length() takes string or array or object, and was given null"
        )
        assert [each.problem for each in explained.gave if each.problem] == [explained.gave[3].problem]
        assert isinstance(explained.outcome, Pending)

    def test_so_is_the_answer_to_a_second_question(self) -> None:
        described = adapter(RESULT)
        first = described.explain(answer(task("done", file_id="f")))
        assert isinstance(first.outcome, Follow)
        second = described.explain(answer({"payload": {"songs": [CLIP]}}), first.outcome)
        assert isinstance(second.outcome, Completed)
        names = [each.name for each in second.gave]
        assert names[2:5] == ["result.object", "clips.each", "clips[0].id"]

    def test_reading_keeps_no_trace(self) -> None:
        described = adapter()
        described.explain(answer(task("running")))
        assert described.read(answer(task("running"))) == Pending("processing", "running")
        assert described.explain(answer(b"")).gave == ()
