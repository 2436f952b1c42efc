"""The configured providers, all in one secret (docs/design.md, "Providers")."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, BaseModel, Field, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from tunehook.callback_schemes import FIRST_VERSION, CallbackScheme, check_callback_secret
from tunehook.errors import InvalidInput
from tunehook.providers import coerce
from tunehook.providers.adapters import DESCRIBED, KINDS, described_adapter
from tunehook.secret_versions import VERSION_MAX

OWN_RECIPE: Final = "own"
"""What a recipe is called that is in the secret itself."""

_NAME = r"^[A-Za-z0-9._-]{1,64}$"
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_HARMLESS_FIELD = re.compile(r"[a-z_]{1,32}")
# What the kinds append themselves, or other APIs of the same gateways have; then those of gateways' web pages.
_ODD_SEGMENTS = coerce.names(
    "v1 v2 suno api fetch submit task tasks music"
    " console dashboard panel login register token home index.html web"
)


def _known_kind(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"is none of {', '.join(KINDS)}")
    return kind


def usable_base_url(url: str) -> str:
    """Return a base URL as it is used; raise ValueError with the reason if it is none."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        is_http = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_http = False
    if not is_http or not _VISIBLE.fullmatch(url):
        raise ValueError("is not an http(s) URL")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password")
    if "?" in url or "#" in url:
        raise ValueError("must not hold a query or a fragment")
    return url.rstrip("/")


def _sendable_key(key: SecretStr) -> SecretStr:
    value = key.get_secret_value().strip()
    if not _VISIBLE.fullmatch(value):
        raise ValueError("is empty or holds characters that no header can carry")
    return SecretStr(value)


def _at(field: str, reason: str) -> PydanticCustomError:
    """Return the error of a check, called by the field at fault; neither text is a template."""
    return PydanticCustomError(field, "{reason}", {"reason": reason})


class ProviderConfig(
    BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False, defer_build=True
):
    """One configured provider: `name` is what tasks carry, `batch` whether to use query-many where the kind has it.

    `callback_version` is that of its callback URL; with a `callback_scheme` and its `callback_secret`, only callbacks
    count that show the secret. A path in the `base_url` is kept, a trailing slash is not. The `recipe` of a described
    provider is the name of a bundled one, or a recipe itself; its base URL counts where the entry gives none.
    """

    name: Annotated[str, Field(pattern=_NAME)]
    kind: Annotated[str, AfterValidator(_known_kind)]
    recipe: str | dict[str, Any] | None = None
    base_url: Annotated[str, AfterValidator(usable_base_url)] = ""
    api_key: Annotated[SecretStr, AfterValidator(_sendable_key)]
    max_concurrency: Annotated[int, Field(ge=1, le=1000)] = 32
    requests_per_second: Annotated[float, Field(ge=0.001, le=10_000)] | None = None
    batch: bool = True
    callback_version: Annotated[int, Field(ge=FIRST_VERSION, le=VERSION_MAX)] = FIRST_VERSION
    callback_scheme: CallbackScheme | None = None
    callback_secret: Annotated[SecretStr, AfterValidator(_sendable_key)] | None = None

    @model_validator(mode="after")
    def _check_scheme(self) -> ProviderConfig:
        scheme, secret = self.callback_scheme, self.callback_secret
        if scheme is None and secret is None:
            return self
        if scheme is None or secret is None:
            missing = "callback_secret" if secret is None else "callback_scheme"
            raise PydanticCustomError(missing, "is needed: a secret and a scheme belong together")
        try:
            check_callback_secret(scheme, secret.get_secret_value())
        except InvalidInput as error:
            raise PydanticCustomError("callback_secret", error.reason) from None
        return self

    @model_validator(mode="after")
    def _check_recipe(self) -> ProviderConfig:
        known = ""
        if self.kind == DESCRIBED:
            known = self._recipe_base_url()
        elif self.recipe is not None:
            raise PydanticCustomError("recipe", f"is for the kind {DESCRIBED} alone")
        if not self.base_url and not known:
            raise PydanticCustomError("base_url", "is needed")
        if not self.base_url:
            # Not set: what the recipe says is not stored beside it.
            self.__dict__["base_url"] = known
        return self

    def _recipe_base_url(self) -> str:
        if self.recipe is None:
            raise PydanticCustomError("recipe", f"is needed by the kind {DESCRIBED}")
        try:
            known = described_adapter(self.recipe).recipe.base_url
            return usable_base_url(known) if known else ""
        except InvalidInput as error:
            raise _at(error.field, error.reason) from None
        except ValueError as error:
            raise _at("recipe.base_url", str(error)) from None

    @property
    def recipe_name(self) -> str | None:
        """The name of a bundled recipe, ``own`` for another, None where the kind has none."""
        return OWN_RECIPE if isinstance(self.recipe, dict) else self.recipe

    @property
    def recipe_about(self) -> str | None:
        """What the recipe says it is about, None where the kind has none."""
        return None if self.recipe is None else described_adapter(self.recipe).recipe.about or None

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is redacted where the provider quotes it: its key, also as URLs have it, and its callbacks' secret."""
        key = self.api_key.get_secret_value()
        secrets = dict.fromkeys((key, quote(key, safe="")))
        if self.callback_secret is not None:
            secret = self.callback_secret.get_secret_value()
            secrets |= dict.fromkeys((secret, secret.removeprefix("whsec_")))
        return tuple(secrets)


class ConfiguredProviders(NamedTuple):
    """The providers that can be used, and what is wrong with the others, both by name."""

    usable: Mapping[str, ProviderConfig]
    errors: Mapping[str, InvalidInput]


def read_providers(secret_json: str) -> ConfiguredProviders:
    """Read the secret, ``{"<name>": {"kind", "base_url", "api_key", ...}}``, bad entries apart from the good ones.

    An entry with an unacceptable name is listed in `errors` by its position (``#2``): the name may be a key put in the
    wrong place. Raise `InvalidInput` if the secret as a whole is no JSON object. No message quotes a value.
    """
    try:
        entries = json.loads(secret_json)
    except (ValueError, RecursionError):
        entries = None  # the error holds the whole text, so nothing may be raised from in here
    if not isinstance(entries, dict):
        raise InvalidInput("providers", "is not a JSON object")
    usable: dict[str, ProviderConfig] = {}
    errors: dict[str, InvalidInput] = {}
    for position, (name, entry) in enumerate(entries.items(), start=1):
        if not re.fullmatch(_NAME, name):
            problem = "its name is not 1 to 64 letters, digits, '.', '_' and '-'"
            errors[f"#{position}"] = InvalidInput(f"providers.#{position}", problem)
            continue
        try:
            usable[name] = _read_entry(name, entry)
        except InvalidInput as error:
            errors[name] = error
    return ConfiguredProviders(usable, errors)


def parse_providers(secret_json: str) -> dict[str, ProviderConfig]:
    """Read the secret, or raise `InvalidInput` that names the first field at fault (``providers.my-gw.base_url``)."""
    providers = read_providers(secret_json)
    for error in providers.errors.values():
        raise error
    return dict(providers.usable)


def better_base_urls(base_url: str) -> list[str]:
    """Return what was probably meant by a base URL that ends like a path of the API or of a web page, likeliest first.

    The paths of the API are appended to it: a path of its own is rarely right, and yet it can be.
    """
    parts = urlsplit(base_url.strip().rstrip("/"))
    origin = f"{parts.scheme}://{parts.netloc}"
    segments = [segment for segment in parts.path.split("/") if segment]
    kept = len(segments)
    while kept and segments[kept - 1].lower() in _ODD_SEGMENTS:
        kept -= 1
    if kept == len(segments):
        return []
    fewer = (segments[:length] for length in range(kept, len(segments)))
    return list(dict.fromkeys("/".join([origin, *path]) for path in (*fewer, [])))


def _read_entry(name: str, entry: Any) -> ProviderConfig:
    field = f"providers.{name}"
    if not isinstance(entry, dict):
        raise InvalidInput(field, "is not a JSON object")
    if "name" in entry:
        raise InvalidInput(f"{field}.name", "is the entry's key and no field")
    try:
        return ProviderConfig.model_validate({**entry, "name": name})
    except ValidationError as error:
        problem = error.errors()[0]
    # A check of several fields has no place, and is called by the field at fault.
    where = ".".join(str(part) for part in problem["loc"][:1]) or problem["type"]
    if problem["type"] == "extra_forbidden" and not _HARMLESS_FIELD.fullmatch(where):
        raise InvalidInput(field, "has an unknown field")
    raise InvalidInput(f"{field}.{where}", problem["msg"].removeprefix("Value error, "))
