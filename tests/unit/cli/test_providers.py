import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.aws import client
from tests.unit.cli.conftest import MASTER_SECRET

from tunehook.callbacks import is_token
from tunehook.errors import Misconfigured
from tunehook.operations import providers as operations
from tunehook.operations.probe import Probe, advise
from tunehook.operations.stack import Stack
from tunehook.providers.config import parse_providers
from tunehook.providers.outcomes import Transient
from tunehook_local.sandbox import Sandbox, TaskRule, parse, run_sandbox

KEY = "sk-a-key-that-nobody-may-see-0123"
SET = ("providers", "set", "my-gw", "--kind", "suno", "--base-url", "https://gw.example/de/")
ENTRY = {"kind": "suno", "base_url": "https://gw.example/de", "api_key": KEY}

Providers = Callable[..., dict[str, Any]]


def test_set_adds_a_provider(tunehook: Any, providers: Providers) -> None:
    result = tunehook(*SET, "--api-key", KEY)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "Added the provider my-gw, suno at https://gw.example/de.\n"
    assert providers() == {"my-gw": ENTRY}


def test_set_stores_the_limits_that_are_given(tunehook: Any, providers: Providers) -> None:
    limits = ("--max-concurrency", "4", "--requests-per-second", "2.5", "--no-batch")
    assert tunehook(*SET, "--api-key", KEY, *limits).exit_code == 0
    assert providers()["my-gw"] == ENTRY | {
        "max_concurrency": 4,
        "requests_per_second": 2.5,
        "batch": False,
    }


def test_set_replaces_one_entry_and_keeps_the_others_whatever_they_are(
    tunehook: Any, providers: Providers
) -> None:
    others = {"broken": {"kind": "nope", "x": [1]}, "a name!": 7, "other": ENTRY}
    providers(json.dumps({"my-gw": {"kind": "qhaigc"}} | others))
    result = tunehook(*SET, "--api-key", KEY)
    assert result.stdout.startswith("Changed the provider my-gw")
    assert providers() == {"my-gw": ENTRY} | others


def test_set_leaves_a_secret_that_is_no_json_object_alone(tunehook: Any, providers: Providers) -> None:
    providers("[]")
    result = tunehook(*SET, "--api-key", KEY)
    assert (result.exit_code, result.stderr) == (2, "tunehook: providers: is not a JSON object\n")
    assert providers() == []


def test_the_key_may_come_from_the_environment(tunehook: Any, providers: Providers) -> None:
    assert tunehook(*SET, env={"TUNEHOOK_API_KEY": KEY}).exit_code == 0
    assert providers()["my-gw"]["api_key"] == KEY


def test_the_key_may_come_from_standard_input(tunehook: Any, providers: Providers) -> None:
    assert tunehook(*SET, "--api-key", "-", input=f"{KEY}\n").exit_code == 0
    assert providers()["my-gw"]["api_key"] == KEY


def test_plain_http_is_warned_of(tunehook: Any, providers: Providers) -> None:
    result = tunehook(*SET[:-1], "http://gw.example", "--api-key", KEY)
    assert result.exit_code == 0
    assert result.stderr == "warning: http://gw.example is plain http: the API key travels unencrypted\n"


@pytest.mark.parametrize(
    ("base_url", "meant"),
    [
        ("https://gw.example/v1", "https://gw.example"),
        ("https://gw.example/suno/", "https://gw.example"),
        ("https://gw.example/api", "https://gw.example"),
        ("https://gw.example/de/suno/fetch", "https://gw.example/de"),
        ("https://gw.example/console", "https://gw.example"),
    ],
)
def test_a_base_url_that_holds_a_part_of_the_path_is_warned_of_and_saved(
    tunehook: Any, providers: Providers, base_url: str, meant: str
) -> None:
    result = tunehook(*SET[:-1], base_url, "--api-key", KEY)
    assert result.exit_code == 0
    assert f"{meant} is probably meant" in result.stderr
    assert providers()["my-gw"]["base_url"] == base_url.rstrip("/")


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (
            (*SET[:4], "nope", *SET[5:]),
            "--kind: is none of musicmint, piapi, qhaigc, suno, sunoapi, described",
        ),
        ((*SET[:-1], "ftp://gw.example"), "--base-url: is not an http(s) URL"),
        ((*SET[:2], "my gw", *SET[3:]), "NAME: is not 1 to 64 letters, digits, '.', '_' and '-'"),
        ((*SET, "--max-concurrency", "0"), "--max-concurrency: Input should be greater than or equal to 1"),
        ((*SET, "--requests-per-second", "nan"), "--requests-per-second: Input should be a finite number"),
    ],
)
def test_a_bad_option_is_refused_by_its_name(
    tunehook: Any, providers: Providers, args: tuple[str, ...], complaint: str
) -> None:
    result = tunehook(*args, "--api-key", KEY)
    assert (result.exit_code, result.output) == (2, f"tunehook: {complaint}\n")
    assert providers() == {}


def test_a_bad_key_is_refused_and_not_shown(tunehook: Any, providers: Providers) -> None:
    result = tunehook(*SET, "--api-key", f"{KEY}\n{KEY}")
    assert result.stderr.startswith("tunehook: --api-key: ")
    assert KEY not in result.output


def test_a_missing_key_is_asked_for_in_one_line(tunehook: Any, providers: Providers) -> None:
    result = tunehook(*SET)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "--api-key" in result.stderr
    assert "TUNEHOOK_API_KEY" in result.stderr


def test_the_list_shows_of_a_key_its_end_alone(tunehook: Any, providers: Providers) -> None:
    providers(json.dumps({"my-gw": ENTRY, "short": ENTRY | {"api_key": "short-key"}}))
    result = tunehook("providers", "list")
    assert "****0123" in result.stdout
    assert KEY not in result.output
    assert "short-key" not in result.output
    assert "-key" not in result.output


def test_the_list_says_what_is_wrong_with_an_entry(tunehook: Any, providers: Providers) -> None:
    providers(json.dumps({"my-gw": ENTRY | {"base_url": "gw.example"}}))
    (row,) = tunehook("providers", "list").stdout.splitlines()[1:]
    assert row.split() == [
        "my-gw",
        "unusable",
        "-",
        "-",
        *["my-gw.base_url:", "is", "not", "an", "http(s)", "URL"],
    ]


def test_the_list_as_json_holds_no_key(tunehook: Any, providers: Providers) -> None:
    providers(json.dumps({"my-gw": ENTRY, "broken": {}}))
    result = tunehook("providers", "list", "--json")
    usable, broken = json.loads(result.stdout)
    assert usable == {
        "name": "my-gw",
        "usable": True,
        "error": None,
        "kind": "suno",
        "recipe": None,
        "recipe_about": None,
        "base_url": "https://gw.example/de",
        "max_concurrency": 32,
        "requests_per_second": None,
        "batch": True,
        "callback_version": 1,
        "callback_scheme": None,
    }
    failed = {"name": "broken", "usable": False, "error": "providers.broken.kind: Field required"}
    assert broken == dict.fromkeys(usable) | failed
    assert KEY not in result.output


def test_an_empty_list_says_so_on_stderr(tunehook: Any, providers: Providers) -> None:
    result = tunehook("providers", "list")
    assert result.stdout == ""
    assert "tunehook providers set" in result.stderr


def test_remove_takes_one_entry_out(tunehook: Any, providers: Providers) -> None:
    providers(json.dumps({"my-gw": ENTRY, "a name!": 7}))
    assert tunehook("providers", "remove", "my-gw").exit_code == 0
    assert providers() == {"a name!": 7}


@pytest.mark.parametrize("command", ["remove", "check"])
def test_a_provider_that_is_not_there_is_an_error(tunehook: Any, providers: Providers, command: str) -> None:
    result = tunehook("providers", command, "nope")
    assert (result.exit_code, result.stderr) == (2, "tunehook: NAME: no provider nope is configured\n")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with run_sandbox() as running:
        yield running


def test_check_says_what_came_back(tunehook: Any, providers: Providers, sandbox: Sandbox) -> None:
    providers(json.dumps(sandbox.providers_secret()))
    sandbox.create_task("suno", "task-1", age_s=60)
    result = tunehook("providers", "check", "suno", "task-1")
    assert result.exit_code == 0
    rows = (line.partition("  ") for line in result.stdout.splitlines())
    lines = {name.strip(): value.strip() for name, _, value in rows}
    assert lines["queried"] == "task task-1"
    assert lines["response"].startswith("HTTP 200, application/json")
    assert lines["outcome"] == "completed, with 2 clips"


def test_check_without_a_task_tries_the_key(tunehook: Any, providers: Providers, sandbox: Sandbox) -> None:
    providers(json.dumps(sandbox.providers_secret()))
    result = tunehook("providers", "check", "musicmint")
    assert result.exit_code == 0
    assert "task tunehook-check-" in result.stdout
    assert sandbox.ledger.queries("musicmint") == {"one": 1, "many": 0}


def test_check_of_a_refused_key_fails_and_does_not_show_it(
    tunehook: Any, providers: Providers, sandbox: Sandbox
) -> None:
    secret = sandbox.providers_secret()["suno"] | {"api_key": f"wrong-{KEY}"}
    providers(json.dumps({"suno": secret}))
    result = tunehook("providers", "check", "suno")
    assert result.exit_code == 1
    assert "unauthorised: the provider refuses the key" in result.stdout
    assert "HTTP 401" in result.stdout
    assert KEY not in result.output


def test_check_of_a_provider_that_does_not_answer_fails(tunehook: Any, providers: Providers) -> None:
    providers(json.dumps({"my-gw": ENTRY | {"base_url": "http://127.0.0.1:9"}}))
    result = tunehook("providers", "check", "my-gw")
    assert result.exit_code == 1
    assert "nothing, after" in result.stdout
    assert "no usable response: the connection was refused" in result.stdout


def test_check_of_an_unusable_entry_names_its_field(tunehook: Any, providers: Providers) -> None:
    providers(json.dumps({"my-gw": ENTRY | {"kind": "nope"}}))
    result = tunehook("providers", "check", "my-gw")
    assert (result.exit_code, result.stderr.split(": ")[1]) == (2, "providers.my-gw.kind")


def test_check_finds_where_a_wrong_base_url_was_meant_to_lead(
    tunehook: Any, providers: Providers, sandbox: Sandbox
) -> None:
    secret = sandbox.providers_secret()["suno"]
    providers(json.dumps({"suno": secret | {"base_url": f"{secret['base_url']}/v1"}}))
    result = tunehook("providers", "check", "suno")
    assert result.exit_code == 1
    assert f"the provider is at {secret['base_url']}: set it as the base URL" in result.stdout


def test_check_tells_a_key_that_was_accepted_from_one_that_never_was(
    tunehook: Any, providers: Providers, sandbox: Sandbox
) -> None:
    providers(json.dumps(sandbox.providers_secret()))
    refusal = {"status": 401, "body": '{"error": {"message": "Invalid token"}}'}
    rule = {"answers": [{"phase": "processing", "times": 1}, refusal]}
    sandbox.create_task("suno", "task-1", rule=parse(TaskRule, rule))
    assert tunehook("providers", "check", "suno", "task-1").exit_code == 0
    result = tunehook("providers", "check", "suno", "task-1")
    assert result.exit_code == 1
    assert "no longer accepts the key (used up, expired or revoked): HTTP 401: Invalid token" in result.stdout
    providers(json.dumps({"suno": sandbox.providers_secret()["suno"] | {"api_key": f"wrong-{KEY}"}}))
    result = tunehook("providers", "check", "suno", "task-1")
    assert "refuses the key" in result.stdout
    assert "give the right key" in result.stdout


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"status": 402, "body": '{"error": {"message": "Payment Required"}}'}, "top up the account"),
        ({"status": 403, "body": '{"error": {"message": "no access to model "}}'}, "without a model list"),
        (
            {"status": 200, "headers": {"content-type": "text/html"}, "body": "<html><title>New API</title>"},
            "web page: give the API's address, usually http://127.0.0.1:",
        ),
        (
            {"status": 503, "headers": {"content-type": "text/html"}, "body": "<html>Service Unavailable"},
            "something before the gateway answers",
        ),
        ({"status": 404, "body": '{"error": {"message": "Invalid URL (GET /x)"}}'}, "has no such path"),
        (
            {
                "status": 403,
                "headers": {"cf-mitigated": "challenge"},
                "body": "<title>Just a moment...</title>",
            },
            "a challenge page of Cloudflare (Just a moment...), not the gateway",
        ),
    ],
)
def test_check_says_who_refused_and_what_to_do(
    tunehook: Any, providers: Providers, sandbox: Sandbox, answer: dict[str, Any], words: str
) -> None:
    providers(json.dumps(sandbox.providers_secret()))
    sandbox.create_task("suno", "task-1", rule=parse(TaskRule, {"answers": [answer]}))
    result = tunehook("providers", "check", "suno", "task-1")
    assert result.exit_code == 1
    assert words in " ".join(result.stdout.split())


def test_check_answers_where_what_pollers_know_cannot_be_read(
    tunehook: Any, providers: Providers, sandbox: Sandbox
) -> None:
    client("dynamodb").delete_table(TableName="ProviderStatesTable")
    providers(json.dumps(sandbox.providers_secret()))
    sandbox.create_task("suno", "task-1", age_s=60)
    result = tunehook("providers", "check", "suno", "task-1")
    assert result.exit_code == 0
    assert "completed, with 2 clips" in result.stdout
    assert "that the key was accepted cannot be remembered: " in result.stderr


def test_check_of_a_web_page_at_a_bare_host_does_not_name_the_same_host_again() -> None:
    probe = Probe("t", "HTTP 200, text/html", 0.1, Transient("a web page"), 200, is_page=True)
    config = parse_providers(json.dumps({"my-gw": ENTRY | {"base_url": "https://gw.example"}}))["my-gw"]
    assert str(advise(probe, config, was_accepted=False)).endswith("which may be another host")


def test_two_that_are_set_at_once_are_both_kept(
    tunehook: Any, providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ("--kind", "suno", "--base-url", "https://x.example", "--api-key", "sk-0123456789abcdef0123")
    real = operations.with_provider
    others = iter([lambda: tunehook("providers", "set", "other", *args)])

    def slowly(secret: str, config: Any) -> Any:
        # Between reading and writing, somebody else sets one.
        for set_other in others:
            assert set_other().exit_code == 0
        return real(secret, config)

    monkeypatch.setattr(operations, "with_provider", slowly)
    result = tunehook("providers", "set", "mine", *args, "--json")
    assert json.loads(result.stdout)["replaced"] is False
    assert sorted(providers()) == ["mine", "other"]
    assert json.loads(tunehook("providers", "remove", "mine", "--json").stdout)["removed"] is True
    assert list(providers()) == ["other"]


def test_set_changes_what_is_named_and_nothing_else(tunehook: Any, providers: Providers) -> None:
    providers(json.dumps({"my-gw": ENTRY | {"max_concurrency": 4, "batch": False}}))
    assert tunehook("providers", "set", "my-gw", "--api-key", f"{KEY}-2").exit_code == 0
    assert providers()["my-gw"] == ENTRY | {"max_concurrency": 4, "batch": False, "api_key": f"{KEY}-2"}
    assert tunehook("providers", "set", "my-gw", "--batch").exit_code == 0
    assert providers()["my-gw"]["batch"] is True


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("new", "--kind", "suno"), "--base-url: is needed: no provider new is configured yet"),
        (("new",), "--kind: is needed: no provider new is configured yet"),
        (("my-gw",), "NAME: nothing to change: name a field, such as --api-key"),
    ],
)
def test_set_says_what_is_missing(
    tunehook: Any, providers: Providers, args: tuple[str, ...], complaint: str
) -> None:
    providers(json.dumps({"my-gw": ENTRY}))
    result = tunehook("providers", "set", *args)
    assert (result.exit_code, result.stderr) == (2, f"tunehook: {complaint}\n")
    assert providers() == {"my-gw": ENTRY}


def test_remove_asks_on_a_terminal_and_names_what_waits(
    tunehook: Any, providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunehook_cli.asking.is_terminal", lambda: True)
    providers(json.dumps({"my-gw": ENTRY}))
    result = tunehook("providers", "remove", "my-gw", input="n\n")
    assert (result.exit_code, providers()) == (1, {"my-gw": ENTRY})
    assert "Remove the provider my-gw (no task waits for it; its key is not kept)?" in result.stderr
    assert tunehook("providers", "remove", "my-gw", "--yes").exit_code == 0
    assert providers() == {}


class TestCallbacks:
    SECRET = "the-secret-of-the-callbacks"

    def test_the_url_is_the_apis_and_its_token_opens_it(self, tunehook: Any, providers: Providers) -> None:
        providers(json.dumps({"my-gw": ENTRY}))
        result = tunehook("providers", "callback-url", "my-gw")
        assert (result.exit_code, result.stderr) == (0, "")
        head, _, token = result.stdout.strip().rpartition("/")
        assert head.endswith("/v1/callbacks/my-gw")
        assert head.startswith("https://")
        assert is_token(token, MASTER_SECRET, "my-gw", 1)

    def test_a_rotated_one_is_another_and_the_entry_says_which(
        self, tunehook: Any, providers: Providers
    ) -> None:
        others = {"broken": {"kind": "nope"}}
        providers(json.dumps({"my-gw": ENTRY} | others))
        before = json.loads(tunehook("providers", "callback-url", "my-gw", "--json").stdout)
        after = json.loads(tunehook("providers", "callback-url", "my-gw", "--rotate", "--json").stdout)
        assert (before["rotated"], after["rotated"]) == (False, True)
        assert before["callback_url"] != after["callback_url"]
        assert providers() == {"my-gw": ENTRY | {"callback_version": 2}} | others
        assert is_token(after["callback_url"].rpartition("/")[2], MASTER_SECRET, "my-gw", 2)

    def test_one_that_is_not_configured_has_none(self, tunehook: Any, providers: Providers) -> None:
        providers("{}")
        for options in ((), ("--rotate",)):
            result = tunehook("providers", "callback-url", "my-gw", *options)
            assert (result.exit_code, result.stdout) == (2, "")
            assert result.stderr == "tunehook: NAME: no provider my-gw is configured\n"
        assert providers() == {}

    def test_where_there_is_no_api_to_call_the_url_before_stays_good(
        self, tunehook: Any, providers: Providers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        providers(json.dumps({"my-gw": ENTRY}))

        def missing(_: Stack) -> str:
            raise Misconfigured("the stack has no HTTP API")

        monkeypatch.setattr(Stack, "api_url", property(missing))
        result = tunehook("providers", "callback-url", "my-gw", "--rotate")
        assert result.exit_code != 0
        assert "the stack has no HTTP API" in result.stderr
        assert providers() == {"my-gw": ENTRY}

    def test_a_secret_and_a_scheme_are_stored_and_shown_masked(
        self, tunehook: Any, providers: Providers
    ) -> None:
        options = ("--callback-scheme", "header", "--callback-secret", "-")
        result = tunehook(*SET, "--api-key", KEY, *options, input=f"{self.SECRET}\n")
        assert (result.exit_code, result.stderr) == (0, "")
        signed = {"callback_scheme": "header", "callback_secret": self.SECRET}
        assert providers()["my-gw"] == ENTRY | signed
        listed = tunehook("providers", "list").stdout
        assert "callbacks by header ****acks" in listed
        (shown,) = json.loads(tunehook("providers", "list", "--json").stdout)
        assert (shown["callback_scheme"], shown["callback_version"]) == ("header", 1)
        assert self.SECRET not in f"{listed}{shown}{result.stdout}"

    def test_the_secret_may_come_from_the_environment(self, tunehook: Any, providers: Providers) -> None:
        env = {"TUNEHOOK_CALLBACK_SECRET": self.SECRET}
        assert tunehook(*SET, "--api-key", KEY, "--callback-scheme", "kie", env=env).exit_code == 0
        assert providers()["my-gw"]["callback_secret"] == self.SECRET

    def test_other_fields_are_changed_without_it_and_none_takes_it_away(
        self, tunehook: Any, providers: Providers
    ) -> None:
        signed = {"callback_scheme": "kie", "callback_secret": self.SECRET}
        providers(json.dumps({"my-gw": ENTRY | signed}))
        assert tunehook("providers", "set", "my-gw", "--max-concurrency", "3").exit_code == 0
        assert providers()["my-gw"] == ENTRY | signed | {"max_concurrency": 3}
        assert tunehook("providers", "set", "my-gw", "--callback-scheme", "none").exit_code == 0
        assert providers()["my-gw"] == ENTRY | {"max_concurrency": 3}

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            (("--callback-scheme", "kie"), "--callback-secret: is needed"),
            (("--callback-secret", SECRET), "--callback-scheme: is needed"),
            (("--callback-scheme", "x", "--callback-secret", SECRET), "--callback-scheme: "),
            (
                ("--callback-scheme", "standard-webhooks", "--callback-secret", SECRET),
                "--callback-secret: is not whsec_",
            ),
        ],
    )
    def test_what_does_not_belong_together_is_refused_by_its_field(
        self, tunehook: Any, providers: Providers, options: tuple[str, ...], problem: str
    ) -> None:
        providers("{}")
        result = tunehook(*SET, "--api-key", KEY, *options)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"tunehook: {problem}")
        assert self.SECRET not in result.stderr
        assert providers() == {}
