from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError
from tests.support.recipes import BASE_URL, RECIPE

from tunehook.errors import InvalidInput
from tunehook.providers.config import ProviderConfig, better_base_urls, parse_providers, read_providers
from tunehook.providers.kinds import ADAPTERS

KEY = "sk-0123456789abcdef"


def secret(name: str = "my-gw", /, **fields: Any) -> str:
    entry = {"kind": "suno", "base_url": "https://gw.example.com", "api_key": KEY, **fields}
    return json.dumps({name: {field: value for field, value in entry.items() if value is not ...}})


def test_defaults_are_32_at_a_time_no_rate_and_batches() -> None:
    config = parse_providers(secret())["my-gw"]
    assert (config.max_concurrency, config.requests_per_second, config.batch) == (32, None, True)


def test_the_name_is_the_entrys_key() -> None:
    assert parse_providers(secret("a.B_9-"))["a.B_9-"].name == "a.B_9-"


def test_space_around_a_key_is_no_part_of_it() -> None:
    assert parse_providers(secret(api_key=f" {KEY}\n"))["my-gw"].api_key.get_secret_value() == KEY


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://h", "https://h"),
        ("https://h/", "https://h"),
        ("http://h:8080/api/v2//", "http://h:8080/api/v2"),
        ("HTTPS://H/x", "HTTPS://H/x"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_a_base_url_keeps_its_path_and_loses_its_last_slash(url: str, kept: str) -> None:
    assert parse_providers(secret(base_url=url))["my-gw"].base_url == kept


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[
            ("base_url", url)
            for url in ("", "h", "ftp://h", "//h", "https://", "https://h:0", "https://h:99999")
        ],
        *[
            ("base_url", url)
            for url in ("https://u:p@h", "https://h?x=1", "https://h/#f", "https://a b", "https://h\n.x")
        ],
        *[("base_url", url) for url in ("https://[::1", "javascript:alert(1)", 7, None, ...)],
        *[("kind", kind) for kind in ("", "udio", "SUNO", None, ...)],
        *[("api_key", key) for key in ("", " ", "a\nb", "schlüssel", None, 7, ...)],
        *[("max_concurrency", count) for count in (0, -1, 1001, "many", 1.5)],
        *[("requests_per_second", rate) for rate in (0, -1, 1e-320, "nan", "inf", 1e9)],
        ("batch", "perhaps"),
        ("name", "other"),
        ("max_concurency", 3),
    ],
)
def test_an_unacceptable_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_providers(secret(**{field: value}))
    assert caught.value.field == f"providers.my-gw.{field}"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"callback_secret": "a-secret"}, "callback_scheme"),
        ({"callback_scheme": "header"}, "callback_secret"),
        ({"callback_scheme": "hmac", "callback_secret": "a-secret"}, "callback_scheme"),
        ({"callback_scheme": "header", "callback_secret": "a\nb"}, "callback_secret"),
        ({"callback_scheme": "standard-webhooks", "callback_secret": "no base64"}, "callback_secret"),
        ({"callback_scheme": "standard-webhooks", "callback_secret": "no-base64!"}, "callback_secret"),
        ({"callback_version": 0}, "callback_version"),
        ({"callback_version": "two"}, "callback_version"),
    ],
)
def test_an_unacceptable_field_of_callbacks_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_providers(secret(**fields))
    assert caught.value.field == f"providers.my-gw.{field}"
    assert fields.get("callback_secret", "-") not in str(caught.value).removeprefix("providers.my-gw")


def test_a_callback_secret_is_shown_by_nothing_and_redacted_with_the_key() -> None:
    given = {"callback_scheme": "standard-webhooks", "callback_secret": "whsec_c2VjcmV0LXNlY3JldA=="}
    config = parse_providers(secret(**given))["my-gw"]
    assert "c2VjcmV0" not in f"{config!r} {config.model_dump()} {config.model_dump_json()}"
    assert config.secrets == (KEY, "whsec_c2VjcmV0LXNlY3JldA==", "c2VjcmV0LXNlY3JldA==")


def test_an_unknown_kind_is_told_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="musicmint, piapi, qhaigc, suno, sunoapi"):
        parse_providers(secret(kind="udio"))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '"x"', "[" * 100_000, '{"a": 1', "{'a': 1}"])
def test_a_secret_that_is_no_json_object_is_unacceptable_as_a_whole(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_providers(text)
    assert caught.value.field == "providers"


@pytest.mark.parametrize("entry", [None, [], "x", 7])
def test_an_entry_that_is_no_object_is_named(entry: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_providers(json.dumps({"my-gw": entry}))
    assert caught.value.field == "providers.my-gw"


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a" * 65, "ключ", "a\n", "a#b"])
def test_an_unacceptable_name_is_told_by_its_position(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_providers(secret(name))
    assert caught.value.field == "providers.#1"


def test_one_bad_entry_leaves_the_others_usable() -> None:
    entries = {**json.loads(secret("good")), **json.loads(secret("bad", kind="udio")), "worse": None}
    usable, errors = read_providers(json.dumps(entries))
    assert set(usable) == {"good"}
    assert {name: error.field for name, error in errors.items()} == {
        "bad": "providers.bad.kind",
        "worse": "providers.worse",
    }


def test_the_kinds_are_the_modules_of_the_folder() -> None:
    assert set(ADAPTERS) == {"musicmint", "piapi", "qhaigc", "suno", "sunoapi"}


@pytest.mark.parametrize("url", ["", "h", "https://h:0", "https://h:99999", "https://[::1", "https://a b"])
def test_what_is_no_url_is_told_so_in_our_own_words(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"base_url: is not an http\(s\) URL$"):
        parse_providers(secret(base_url=url))


def test_a_rate_that_is_no_number_is_told_so() -> None:
    with pytest.raises(InvalidInput, match="finite number"):
        parse_providers(secret(requests_per_second="nan"))


def test_an_unacceptable_entry_shows_no_value_in_its_error() -> None:
    with pytest.raises(ValidationError) as refused:
        ProviderConfig.model_validate(
            {"name": "gw", "kind": "suno", "base_url": "https://gw.example.com", "api_key": "sk-sec\0ret"}
        )
    assert "sk-sec" not in str(refused.value)


def described(recipe: Any = RECIPE, **fields: Any) -> str:
    return secret(**{"kind": "described", "recipe": recipe, "base_url": ..., **fields})


def test_a_described_provider_is_at_the_base_url_of_its_recipe_unless_it_has_its_own() -> None:
    assert parse_providers(described())["my-gw"].base_url == BASE_URL
    assert parse_providers(described(base_url="https://h/"))["my-gw"].base_url == "https://h"


def test_the_base_url_of_a_recipe_is_not_stored_beside_it() -> None:
    config = parse_providers(described())["my-gw"]
    assert "base_url" not in config.model_dump(exclude_unset=True)
    assert config.model_copy(update={"max_concurrency": 2}).base_url == BASE_URL


def test_a_bundled_recipe_is_named_and_another_is_called_own() -> None:
    bundled, own = (parse_providers(described(each))["my-gw"] for each in ("replicate", RECIPE))
    assert (bundled.recipe_name, own.recipe_name) == ("replicate", "own")
    assert own.recipe_about == RECIPE["about"]
    assert parse_providers(secret())["my-gw"].recipe_about is None


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        (described(None), "recipe"),
        (described(7), "recipe"),
        (described("no-such-recipe"), "recipe"),
        (described({}), "recipe.ask"),
        (described(RECIPE | {"words": {"succeeded": ["done"], "failed": ["done"]}}), "recipe.words"),
        (described(RECIPE | {"task": {"status": "status["}}), "recipe.task.status"),
        (described(RECIPE | {"base_url": "no url"}), "recipe.base_url"),
        (described({name: value for name, value in RECIPE.items() if name != "base_url"}), "base_url"),
        (secret(recipe=RECIPE), "recipe"),
        (secret(recipe="replicate"), "recipe"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_told_by_its_place_and_leaves_the_others_usable(
    entry: str, field: str
) -> None:
    usable, errors = read_providers(json.dumps(json.loads(entry) | json.loads(secret("good"))))
    assert set(usable) == {"good"}
    assert errors["my-gw"].field == f"providers.my-gw.{field}"


def test_a_recipe_that_nests_without_end_is_one_more_that_is_wrong() -> None:
    deep = (
        '{"my-gw": {"kind": "described", "api_key": "k", "recipe": {"ask": ' + '{"a":' * 900 + "1" + "}" * 902
    )
    usable, errors = read_providers(f"{deep}, {secret('good')[1:]}")
    assert (set(usable), set(errors)) == ({"good"}, {"my-gw"})


def test_a_key_is_redacted_as_urls_have_it_too() -> None:
    config = parse_providers(secret(api_key="id:a+key/with=signs"))["my-gw"]
    assert config.secrets == ("id:a+key/with=signs", "id%3Aa%2Bkey%2Fwith%3Dsigns")


@pytest.mark.parametrize(
    ("base_url", "better"),
    [
        ("https://h", []),
        ("https://h/", []),
        ("https://h/my-api", []),
        ("https://h/v1/my-api", []),
        ("https://h/v1", ["https://h"]),
        (" https://h/Console/ ", ["https://h"]),
        ("https://h/my-api/v1", ["https://h/my-api", "https://h"]),
        (
            "https://h:8080/my-api//suno/submit/music",
            [
                "https://h:8080/my-api",
                "https://h:8080/my-api/suno",
                "https://h:8080/my-api/suno/submit",
                "https://h:8080",
            ],
        ),
    ],
)
def test_what_a_base_url_with_a_path_of_the_api_was_meant_to_be(base_url: str, better: list[str]) -> None:
    assert better_base_urls(base_url) == better
