"""What a callback tells: whose it is, and which tasks it may be about."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from tunehook.callback_schemes import CallbackScheme
from tunehook.callbacks import (
    BODY_MAX_BYTES,
    IDS_MAX,
    Callback,
    Place,
    callback_token,
    find_task_ids,
    is_token,
    verified_ids,
)
from tunehook.errors import Misconfigured

MASTER = "m" * 43
NOW_S = 1_800_000_000
STANDARD_SECRET = "whsec_" + base64.b64encode(b"s" * 24).decode()


def ids_in(body: Any, query: str = "") -> list[str]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return list(find_task_ids(Callback(raw, {}, query)))


class TestOwnPlaces:
    @staticmethod
    def ids(body: Any) -> dict[str, Place]:
        def own(payload: Any) -> list[Any]:
            return [payload.get("ticket")] if isinstance(payload, dict) else []

        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return find_task_ids(Callback(raw, {}), own)

    def test_what_stands_in_a_place_of_the_providers_own_is_surely_a_tasks(self) -> None:
        assert self.ids({"ticket": "t-1"}) == {"t-1": Place.TASK_ID}
        assert self.ids({"ticket": "t-1", "id": "evt-1"}) == {"t-1": Place.TASK_ID, "evt-1": Place.ID}

    def test_it_is_searched_for_in_json_whose_numbers_can_all_be_ids(self) -> None:
        seen: list[Any] = []

        def own(payload: Any) -> list[str]:
            seen.append(payload)
            return []

        numbers = {"a": 10**39, "b": 10**40, "c": -(10**38), "d": -(10**39), "e": 1.5, "f": math.nan}
        find_task_ids(Callback(json.dumps(numbers).encode(), {}), own)
        assert seen == [{"a": 10**39, "b": None, "c": -(10**38), "d": None, "e": None, "f": None}]

    def test_general_names_count_beside_it(self) -> None:
        assert self.ids({"data": {"task_id": "t-2"}}) == {"t-2": Place.TASK_ID}

    def test_json_in_a_text_is_searched_too(self) -> None:
        assert self.ids(json.dumps({"ticket": "t-1"})) == {"t-1": Place.TASK_ID}

    @pytest.mark.parametrize(
        "body", [b"", b"no json", b"ticket=t-1", {"ticket": ["t"]}, {"ticket": "x" * 300}, [1]]
    )
    def test_what_is_no_id_is_none(self, body: Any) -> None:
        assert not {"t-1", "t"} & self.ids(body).keys()


class TestTokens:
    def test_one_is_43_characters_that_a_path_can_carry(self) -> None:
        token = callback_token(MASTER, "suno", 1)
        assert len(token) == 43
        assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")

    def test_every_provider_version_and_master_secret_has_its_own(self) -> None:
        tokens = {
            callback_token(master, provider, version)
            for master in (MASTER, "n" * 43)
            for provider in ("suno", "1/suno", "suno2")
            for version in (1, 2, 11)
        }
        assert len(tokens) == 18

    def test_it_stays_what_it_is(self) -> None:
        # Providers hold it: another derivation would make every URL void.
        assert callback_token(MASTER, "suno", 1) == "nKnXQCb1cvA6orUesOaEzGLkoy3I3UMpebB3TC09oLo"

    @pytest.mark.parametrize("given", ["", "x", "ключ", "\ud800", "A" * 43, "A" * 10_000])
    def test_another_is_none(self, given: str) -> None:
        assert not is_token(given, MASTER, "suno", 1)

    def test_its_own_is(self) -> None:
        assert is_token(callback_token(MASTER, "suno", 3), MASTER, "suno", 3)

    def test_a_master_secret_of_fewer_than_32_characters_is_no_secret(self) -> None:
        assert callback_token("m" * 32, "suno", 1)
        with pytest.raises(Misconfigured):
            callback_token("m" * 31, "suno", 1)


SUNOAPI = {
    "code": 200,
    "msg": "All generated successfully.",
    "data": {"callbackType": "complete", "task_id": "t-1", "data": [{"id": "clip-1"}, {"id": "clip-2"}]},
}
SUNOAPI_FAILED = {
    "code": 501,
    "msg": "Audio generation failed.",
    "data": {"callbackType": "error", "task_id": "t-1", "error": "Generation failed due to technical issues"},
}
SUNOAPI_LYRICS = {
    "code": 200,
    "msg": "All generated successfully.",
    "data": {
        "callbackType": "complete",
        "taskId": "t-1",
        "data": [{"text": "[Verse]", "title": "Iron Man", "status": "complete", "errorMessage": ""}],
    },
}
SUNOAPI_WAV = {
    "code": 200,
    "msg": "success",
    "data": {"audioWavUrl": "https://example.com/s/04e6.wav", "task_id": "t-1"},
}
SUNOAPI_STEMS = {
    "code": 200,
    "msg": "vocal separation generated successfully.",
    "data": {
        "task_id": "t-1",
        "vocal_separation_info": {
            "instrumental_url": "https://file.example/i.mp3",
            "origin_url": "",
            "id": "c",
        },
    },
}
PIAPI = {
    "timestamp": 1723018391,
    "data": {
        "task_id": "t-1",
        "model": "music-u",
        "status": "completed",
        "config": {
            "webhook_config": {"endpoint": "https://api.example/v1/callbacks/gw/t", "secret": "s3cr3t"}
        },
        "input": {"continue_song_id": "song-0"},
        "output": {
            "generation_id": "g-1",
            "songs": [{"id": "song-1", "song_path": "https://f.example/1.mp3"}],
        },
        "error": {"code": 0, "raw_message": "", "message": "", "detail": None},
    },
}


class TestIds:
    @pytest.mark.parametrize(
        ("body", "found"),
        [
            (SUNOAPI, ["t-1"]),
            (SUNOAPI_FAILED, ["t-1"]),
            (SUNOAPI_LYRICS, ["t-1"]),
            (SUNOAPI_WAV, ["t-1"]),
            (SUNOAPI_STEMS, ["t-1"]),
            (PIAPI, ["t-1"]),
            ({"code": 200, "data": {"taskId": "t-1", "callbackType": "error", "data": None}}, ["t-1"]),
            ({"timestamp": 1, "data": {"task_id": "t-1", "config": {"webhook_config": {}}}}, ["t-1"]),
            ({"id": "t-1", "status": "succeeded", "output": [{"id": "file"}]}, ["t-1"]),
            (
                {"request_id": "t-1", "gateway_request_id": "g", "status": "OK", "payload": {"id": "x"}},
                ["t-1"],
            ),
            ({"id": "t-1", "action": "IMAGINE", "properties": {"id": "x"}}, ["t-1"]),
            ({"id": 7, "task_id": "t-1"}, ["t-1", "7"]),
            ({"code": 0, "request_id": "r", "data": {"id": "t-1"}}, ["t-1", "r"]),
            ({"type": "x", "data": {"object": {"id": "t-1"}}}, ["t-1"]),
            ([{"id": "t-1"}, {"task_id": "t-2"}], ["t-2", "t-1"]),
            ({"data": [{"task_id": "t-1"}, {"task_id": "t-2"}]}, ["t-1", "t-2"]),
            ({"data": json.dumps({"task_id": "t-1"})}, ["t-1"]),
            (json.dumps({"task_id": "t-1"}), ["t-1"]),
            ({"task_id": 12345}, ["12345"]),
            ("0a1b2c3d-e5", ["0a1b2c3d-e5"]),
            (b'\xef\xbb\xbf{"task_id": "t-1"}', ["t-1"]),
            ('{"task_id": "t-1"}'.encode("utf-16"), ["t-1"]),
            (b'{"task_id": "t-1", "title": "\xff\xfe"}', ["t-1"]),
            (b'{"data": {"task_id": "t-1", "lyrics": "...', ["t-1"]),
            (b"task_id=t-1&status=ok", ["t-1"]),
            (b"status=ok&data=%7B%22taskId%22%3A%22t-1%22%7D", ["t-1"]),
            (b'--b\r\nContent-Disposition: form-data; name="task_id"\r\n\r\nt-1\r\n--b--', ["t-1"]),
            (b"<task><task_id>t-1</task_id></task>", ["t-1"]),
            (b"task id unknown, taskId: t-1", ["t-1"]),
            (b"0a1b2c3d-e5\n", ["0a1b2c3d-e5"]),
            (b"X-1b2c3d-eX", ["X-1b2c3d-eX"]),
            (b' \t{"id": "t-1", "lyrics": "a\nb"}\0\r\n', ["t-1"]),
            ({"id": "i", "data": [{"task_id": "t-1"}]}, ["t-1", "i"]),
            ({"data": [{"task_id": "t-1_1"}], "task": {"task_id": "t-1"}}, ["t-1", "t-1_1"]),
            ([{"request_id": "r"}, {"id": "i"}], ["i", "r"]),
            ({"id": "t-1", "data": {"request_id": "t-1", "task_id": "t-1"}}, ["t-1"]),
        ],
    )
    def test_they_are_found_in_the_places_that_providers_use(self, body: Any, found: list[str]) -> None:
        assert ids_in(body) == found

    @pytest.mark.parametrize(
        "name",
        [
            *("task_id", "taskId", "taskID", "taskid", "TaskId", "job_id", "jobId"),
            *("id", "Id", "ID", "request_id", "requestId"),
        ],
    )
    def test_they_have_any_of_the_names_that_providers_use(self, name: str) -> None:
        assert ids_in({name: "t-1"}) == ["t-1"]

    @pytest.mark.parametrize(
        ("name", "has_ids_of_tasks"),
        [
            *[(name, True) for name in ("data", "task", "object")],
            *[
                (name, False)
                for name in ("result", "payload", "body", "event", "record", "response", "params")
            ],
        ],
    )
    def test_in_some_objects_an_id_is_rather_that_of_a_result(
        self, name: str, has_ids_of_tasks: bool
    ) -> None:
        body = {name: {"task_id": "t-1", "id": "i", "data": {"id": "j"}}}
        assert ids_in(body) == (["t-1", "i", "j"] if has_ids_of_tasks else ["t-1"])

    @pytest.mark.parametrize("name", ["metadata", "output", "clips"])
    def test_others_are_not_searched(self, name: str) -> None:
        assert ids_in({name: {"task_id": "t-1"}}) == []

    def test_one_is_found_within_four_objects_or_lists_and_no_deeper(self) -> None:
        objects = lists = {"task_id": "t-1"}
        for _ in range(4):
            objects, lists = {"data": objects}, [lists]
        assert (ids_in(objects), ids_in(lists)) == (["t-1"], ["t-1"])
        assert (ids_in({"data": objects}), ids_in([lists])) == ([], [])

    def test_200_objects_are_searched_and_200_of_a_list(self) -> None:
        nothing, task = [{}], [{"task_id": "t-1"}]
        assert ids_in({"data": nothing * 150, "task": nothing * 48 + task}) == ["t-1"]
        assert ids_in({"data": nothing * 150, "task": nothing * 49 + task}) == []
        assert ids_in([1] * 199 + task) == ["t-1"]
        assert ids_in([1] * 200 + task) == []

    def test_five_texts_are_read_as_json(self) -> None:
        names = ("data", "task", "object", "result", "payload", "body")
        body = {name: json.dumps({"task_id": f"t-{number}"}) for number, name in enumerate(names)}
        assert ids_in(body) == ["t-0", "t-1", "t-2", "t-3", "t-4"]

    def test_200_fields_of_a_form_are_read_and_8192_characters_of_a_query(self) -> None:
        assert ids_in(b"a=1&" * 199 + b"id=t-1") == ["t-1"]
        assert ids_in(b"a=1&" * 200 + b"id=t-1") == []
        assert ids_in(b"", f"a={'x' * 8_183}&id=t-1") == ["t-1"]
        assert ids_in(b"", f"a={'x' * 8_184}&id=t-1") == ["t-"]

    def test_one_has_up_to_256_characters(self) -> None:
        assert ids_in({"task_id": "x" * 256}) == ["x" * 256]
        assert ids_in({"task_id": "x" * 257}) == []

    @pytest.mark.parametrize(
        ("query", "found"),
        [("taskId=t-1", ["t-1"]), ("a=1&task_id=t%2F1", ["t/1"]), ("id=t+1&id=t-2", ["t 1"]), ("x", [])],
    )
    def test_the_query_is_searched_too(self, query: str, found: list[str]) -> None:
        assert ids_in(b"", query) == found

    def test_where_one_was_found_says_how_sure_it_is(self) -> None:
        body = json.dumps({"request_id": "r", "id": "i", "data": {"task_id": "t"}}).encode()
        places = {"t": Place.TASK_ID, "i": Place.ID, "r": Place.REQUEST_ID}
        assert find_task_ids(Callback(body, {})) == places

    def test_a_clip_is_less_surely_a_task_than_what_it_is_in(self) -> None:
        task = {"task_id": "t", "data": [{"id": "c", "task_id": "t_1"}, {"id": "d", "task_id": "t_2"}]}
        body = json.dumps(task).encode()
        places = {"t": Place.TASK_ID, "t_1": Place.LISTED_TASK_ID, "t_2": Place.LISTED_TASK_ID}
        assert find_task_ids(Callback(body, {})) == places

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b"completed",
            b"true",
            b"17",
            {"task_id": None},
            {"task_id": ""},
            {"task_id": True},
            {"task_id": 1.5},
            {"task_id": ["t"]},
            {"task_id": {"id": "t"}},
            {"task_id": "x" * 513},
            {"task_id": "a\nb"},
            {"task_id": "\ud800"},
            b'{"task_id": ' + b"9" * 100_000 + b"}",
            b"[" * 500_000,
            b'{"data":' * 100_000,
            b"\xff" * 100_000,
            b"&" * 500_000,
            b'{"task_id": "t-1", "x": "' + b"x" * BODY_MAX_BYTES + b'"}',
        ],
        ids=lambda body: str(body)[:24],
    )
    def test_what_is_no_id_is_not_taken_for_one(self, body: Any) -> None:
        assert ids_in(body) == []

    def test_a_body_of_a_mebibyte_is_searched(self) -> None:
        body = b'{"x": "' + b"x" * (BODY_MAX_BYTES - 30) + b'", "id": "t-1"}'
        assert len(body) <= BODY_MAX_BYTES
        assert ids_in(body) == ["t-1"]

    def test_their_number_is_bounded(self) -> None:
        assert len(ids_in([{"task_id": f"t-{number}"} for number in range(5000)])) == IDS_MAX

    def test_the_surest_are_kept(self) -> None:
        body = {"data": [{"request_id": f"r-{number}"} for number in range(50)] + [{"task_id": "t-1"}]}
        assert ids_in(body)[0] == "t-1"

    @settings(max_examples=120, deadline=None)
    @given(st.binary(max_size=300), st.text(max_size=60))
    def test_bytes_of_any_kind_are_searched(self, body: bytes, query: str) -> None:
        assert len(ids_in(body, query)) <= IDS_MAX

    @settings(max_examples=120, deadline=None)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(st.sampled_from(["id", "task_id", "data", "result", "request_id"]), inner)
                | inner.map(json.dumps)
            ),
        )
    )
    def test_json_of_any_form_is_searched(self, body: Any) -> None:
        assert all(0 < len(each) <= 512 for each in ids_in(body))


def kie(task_id: str, at_s: int, secret: str = "key-of-kie", **headers: str) -> Callback:
    digest = hmac.new(secret.encode(), f"{task_id}.{at_s}".encode(), hashlib.sha256).digest()
    signed = {"x-webhook-timestamp": str(at_s), "x-webhook-signature": base64.b64encode(digest).decode()}
    return Callback(b"{}", signed | headers)


class TestVerification:
    @pytest.mark.parametrize("at_s", [NOW_S, NOW_S - 300, NOW_S + 300, NOW_S * 1000])
    def test_kies_signature_is_over_the_task_and_the_time(self, at_s: int) -> None:
        found = verified_ids(kie("t-1", at_s), ["t-1", "t-2"], CallbackScheme.KIE, "key-of-kie", NOW_S)
        assert found == ["t-1"]

    @pytest.mark.parametrize(("at", "now_s"), [(10**11, 10**11), (10**11 + 1, 10**8)])
    def test_a_time_beyond_the_year_5138_is_in_milliseconds(self, at: int, now_s: int) -> None:
        assert verified_ids(kie("t-1", at), ["t-1"], CallbackScheme.KIE, "key-of-kie", now_s) == ["t-1"]

    @pytest.mark.parametrize(
        "callback",
        [
            kie("t-1", NOW_S - 301),
            kie("t-1", NOW_S + 301),
            kie("t-1", NOW_S, "another key"),
            kie("t-2", NOW_S),
            kie("t-1", NOW_S, **{"x-webhook-signature": "ключ\ud800"}),
            kie("t-1", NOW_S, **{"x-webhook-timestamp": "now"}),
            kie("t-1", NOW_S, **{"x-webhook-timestamp": "9" * 5000}),
            Callback(b"{}", {}),
        ],
    )
    def test_one_of_kie_that_is_wrong_verifies_nothing(self, callback: Callback) -> None:
        assert verified_ids(callback, ["t-1"], CallbackScheme.KIE, "key-of-kie", NOW_S) == []

    @pytest.mark.parametrize(
        ("sent", "is_good"), [("the-secret", True), ("the-secre", False), ("", False), ("\ud800ü", False)]
    )
    def test_a_secret_in_a_header_is_compared(self, sent: str, is_good: bool) -> None:
        callback = Callback(b"{}", {"x-webhook-secret": sent})
        found = verified_ids(callback, ["t-1"], CallbackScheme.HEADER, "the-secret", NOW_S)
        assert found == (["t-1"] if is_good else [])

    def test_standard_webhooks_are_verified_as_their_own_library_signs_them(self) -> None:
        callback = standard(b'{"id": "t-1"}')
        assert verified_ids(callback, ["t-1"], CallbackScheme.STANDARD_WEBHOOKS, STANDARD_SECRET, NOW_S)

    @pytest.mark.parametrize(
        "change",
        [
            {"webhook-id": "msg_2"},
            {"webhook-id": ""},
            {"webhook-id": "\ud800"},
            {"webhook-timestamp": str(NOW_S + 1)},
            {"webhook-timestamp": "-1"},
            {"webhook-timestamp": ""},
            {"webhook-signature": ""},
            {"webhook-signature": "v1,"},
            {"webhook-signature": "v1a,AAAA v2,BBBB"},
        ],
    )
    def test_a_changed_one_verifies_nothing(self, change: dict[str, str]) -> None:
        callback = standard(b'{"id": "t-1"}')
        changed = Callback(callback.body, {**callback.headers, **change})
        scheme = CallbackScheme.STANDARD_WEBHOOKS
        assert verified_ids(changed, ["t-1"], scheme, STANDARD_SECRET, NOW_S) == []

    def test_a_changed_body_or_an_old_one_verifies_nothing(self) -> None:
        callback, scheme = standard(b'{"id": "t-1"}'), CallbackScheme.STANDARD_WEBHOOKS
        changed = Callback(b'{"id": "t-2"}', callback.headers)
        assert verified_ids(changed, ["t-2"], scheme, STANDARD_SECRET, NOW_S) == []
        assert verified_ids(callback, ["t-1"], scheme, STANDARD_SECRET, NOW_S + 301) == []


def standard(body: bytes, at_s: int = NOW_S) -> Callback:
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(at_s, UTC)
    signature = Webhook(STANDARD_SECRET).sign("msg_1", moment, body.decode())
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,x {signature}",
    }
    return Callback(body, headers)
