"""`tunehook providers`: which providers are polled, and with which keys."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any, Final

import typer

from tunehook.errors import InvalidInput
from tunehook.operations import callbacks, probe, providers
from tunehook.operations.stack import Stack
from tunehook.operations.text import counted
from tunehook.providers.adapters import KINDS
from tunehook.providers.config import ConfiguredProviders, ProviderConfig, better_base_urls
from tunehook_cli.asking import Yes, confirm
from tunehook_cli.commands.options import AsJson, StackName
from tunehook_cli.output import Output, note, printable, warn
from tunehook_cli.rendering.explanations import print_explanations, print_tried
from tunehook_cli.stack import find_stack

app = typer.Typer(no_args_is_help=True)

_AS_IS: Final = "as it is"

Name = Annotated[str, typer.Argument(metavar="NAME", help="The provider's name, as tasks name it.")]

_SANDBOX: Final = re.compile(r"http://(?:127\.0\.0\.1|localhost):\d+/suno")
"""Where `tunehook sandbox` has its suno gateway: a base URL that only looks like a mistake."""


@app.command("set")
def set_provider(
    name: Name,
    kind: Annotated[
        str | None,
        typer.Option(
            help=f"The kind of API: {', '.join(KINDS[:-1])}; --recipe makes it {KINDS[-1]}.",
            show_default=_AS_IS,
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="RECIPE",
            help="Any other API, as this TOML file describes it; or a bundled recipe, by its name in "
            "`tunehook providers recipes`.",
            show_default=_AS_IS,
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(help="The base URL of its API, without the API's own paths.", show_default=_AS_IS),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="TUNEHOOK_API_KEY",
            help="Its key. '-' prompts for it, or reads it from standard input: it stays out of the shell's history.",
            show_default=_AS_IS,
        ),
    ] = None,
    max_concurrency: Annotated[
        int | None, typer.Option(help="Maximum number of requests at a time.", show_default="32")
    ] = None,
    requests_per_second: Annotated[
        float | None, typer.Option(help="Maximum number of requests a second.", show_default="no limit")
    ] = None,
    batch: Annotated[
        bool | None,
        typer.Option("--batch/--no-batch", help="Use batch queries, or disable them.", show_default="batch"),
    ] = None,
    callback_scheme: Annotated[
        str | None,
        typer.Option(
            help="How its callbacks show that they are its own: kie, header or standard-webhooks; none: they need not.",
            show_default=_AS_IS,
        ),
    ] = None,
    callback_secret: Annotated[
        str | None,
        typer.Option(
            envvar="TUNEHOOK_CALLBACK_SECRET",
            help="The secret of its callbacks. '-' prompts for it, or reads it from standard input.",
            show_default=_AS_IS,
        ),
    ] = None,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Add a provider, or change one. This takes effect within 60 seconds.

    A new provider needs a kind or a recipe, a base URL unless the recipe has one, and a key. What you do not name stays
    as it is.
    """
    fields = {
        "kind": kind,
        "recipe": None if recipe is None else _recipe(recipe),
        "base_url": base_url,
        "api_key": None if api_key is None else _secret(api_key, "api_key", "API key"),
        "max_concurrency": max_concurrency,
        "requests_per_second": requests_per_second,
        "batch": batch,
    }
    named = {key: value for key, value in fields.items() if value is not None}
    named |= _callbacks(callback_scheme, callback_secret)
    config, existed = providers.change_provider(find_stack(stack), name, named)
    if config.base_url.startswith("http://"):
        warn(f"{config.base_url} is plain http: the API key travels unencrypted")
    better = better_base_urls(config.base_url)
    # Of a described API nobody knows which paths are its own.
    if better and config.recipe is None and not _SANDBOX.fullmatch(config.base_url):
        warn(
            f"the paths of the API are appended to the base URL: {better[0]} is probably meant; "
            f"`tunehook providers check {name}` tries both"
        )
    out, done = Output(as_json), "Changed" if existed else "Added"
    out.json(lambda: _document(config) | {"replaced": existed})
    out.line(f"{done} the provider {name}, {_kind(config)} at {config.base_url}.")


def _recipe(given: str) -> str | dict[str, Any]:
    from tunehook.operations.recipes import given_recipe

    return given_recipe(given)


def _kind(config: ProviderConfig) -> str:
    return config.kind if config.recipe_name is None else f"{config.kind} ({config.recipe_name})"


def _callbacks(scheme: str | None, secret: str | None) -> dict[str, Any]:
    if scheme == "none":
        return {"callback_scheme": None, "callback_secret": None}
    given = None if secret is None else _secret(secret, "callback_secret", "Secret of the callbacks")
    return {
        name: value
        for name, value in (("callback_scheme", scheme), ("callback_secret", given))
        if value is not None
    }


def _secret(option: str, field: str, what: str) -> str:
    if option != "-":
        return option
    if sys.stdin.isatty():
        return str(typer.prompt(what, hide_input=True, err=True))
    try:
        return sys.stdin.readline()
    except UnicodeDecodeError:
        raise InvalidInput(field, "standard input is not text") from None


def _document(config: ProviderConfig) -> dict[str, Any]:
    from tunehook.operations.documents import provider_document

    return provider_document(config).to_json()


def _documents(found: ConfiguredProviders) -> list[object]:
    from tunehook.operations.documents import provider_document, unusable_provider_document

    unusable = (unusable_provider_document(name, error) for name, error in found.errors.items())
    return [*map(provider_document, found.usable.values()), *unusable]


@app.command("list")
def list_providers(as_json: AsJson = False, stack: StackName = None) -> None:
    """List the providers. Keys are masked, except for their last characters."""
    out, found = Output(as_json), providers.list_providers(find_stack(stack))
    out.json(lambda: _documents(found))
    if not found.usable and not found.errors:
        out.note("No provider is configured: add one with `tunehook providers set`.")
        return
    rows: list[tuple[object, ...]] = [
        (each.name, _kind(each), masked(each.api_key.get_secret_value()), _limits(each), each.base_url)
        for each in found.usable.values()
    ]
    rows += [
        (name, "unusable", None, None, f"{error.field.removeprefix('providers.')}: {error.reason}")
        for name, error in found.errors.items()
    ]
    out.table(("NAME", "KIND", "KEY", "LIMITS", "BASE URL"), rows)


def masked(key: str) -> str:
    """Return the last four characters of a key, if they are a small part of it."""
    return f"****{key[-4:]}" if len(key) >= 20 else "****"


def _limits(config: ProviderConfig) -> str:
    rate = "" if config.requests_per_second is None else f"{config.requests_per_second:g}/s"
    one_by_one = "" if config.batch else "one by one"
    signed = "" if config.callback_secret is None else _signed(config)
    return ", ".join(filter(None, (f"{config.max_concurrency} at a time", rate, one_by_one, signed)))


def _signed(config: ProviderConfig) -> str:
    secret = "" if config.callback_secret is None else config.callback_secret.get_secret_value()
    return f"callbacks by {config.callback_scheme} {masked(secret)}"


@app.command("callback-url")
def callback_url(
    name: Name,
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Retire the URL, and print a new one.", show_default=False)
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Print the URL that a provider is to call when a task changes. It is a secret.

    Give it to the provider with each task (`callBackUrl`, `notify_hook`, `webhook`), or once in its settings. A retired
    URL has no effect within 60 seconds; tasks that carry it are polled as usual.
    """
    out, found = Output(as_json), find_stack(stack)
    if rotate:
        question = f"Retire the callback URL of {printable(name)} (tasks under way there carry it)?"
        confirm(lambda: question, yes=yes)
    url = (callbacks.rotate_callback_url if rotate else callbacks.callback_url)(found, name)
    out.json({"name": name, "callback_url": url, "rotated": rotate})
    out.line(url)


@app.command("remove")
def remove_provider(name: Name, yes: Yes = False, as_json: AsJson = False, stack: StackName = None) -> None:
    """Remove a provider. On a terminal this prompts first.

    Its pending tasks wait for a provider of that name, for at most 24 hours beyond their deadline.
    """
    out, found = Output(as_json), find_stack(stack)
    confirm(lambda: _loss(found, name), yes=yes)
    providers.remove_provider(found, name)
    out.json({"name": name, "removed": True})
    out.line(f"Removed the provider {name}.")


def _loss(stack: Stack, name: str) -> str:
    pending = providers.pending_tasks(stack, name)
    wait = "waits" if pending == 1 else "wait"
    tasks = (
        f"{counted(pending, 'pending task')} {wait} for it, and its"
        if pending
        else "no task waits for it; its"
    )
    return f"Remove the provider {printable(name)} ({tasks} key is not kept)?"


@app.command("check")
def check_provider(
    name: Name,
    task_id: Annotated[
        str | None,
        typer.Argument(metavar="TASK_ID", help="A task to query. Without one, this checks only the key."),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Show the response itself, and what was found in it by which expression."
        ),
    ] = False,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Make one request to the live provider and show the response; exit with 1 if it is unusable.

    The request comes from this machine. Where a recipe has a second question, that is asked too."""
    out, found = Output(as_json), find_stack(stack)
    config = providers.get_provider(found, name)
    check = probe.check_provider(found, config, task_id, note)
    polled = check.probe
    said = probe.verdict(polled)
    out.json(
        {
            "provider": name,
            "kind": config.kind,
            "recipe": config.recipe_name,
            "base_url": config.base_url,
            "task_id": polled.task_id,
            "useful": polled.useful,
            "verdict": said,
            "answer": polled.answer,
            "seconds": round(polled.seconds, 3),
            "outcome": check.outcome,
            "advice": check.advice,
            "explained": check.explanations if explain else None,
        }
    )
    out.line(said)
    out.fields(
        [
            ("provider", f"{name}, {_kind(config)} at {config.base_url}"),
            ("queried", f"task {polled.task_id}" + ("" if task_id else ", which does not exist")),
            ("response", f"{polled.answer or 'nothing'}, after {polled.seconds:.2f} s"),
            ("outcome", check.outcome),
            ("what to do", check.advice),
        ]
    )
    if explain:
        if config.recipe is None:
            out.line(f"\nThe kind {config.kind} is written in code: it has no expressions.")
        if not check.explanations:
            out.line("\nThere is no response to explain.")
        print_explanations(out, check.explanations)
    if not polled.useful:
        raise typer.Exit(1)


@app.command("recipes")
def list_recipes(
    name: Annotated[
        str | None,
        typer.Argument(metavar="RECIPE", help="A bundled recipe, whose TOML is printed: one to start from."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the recipes that come with tunehook, or print one."""
    from tunehook.operations import recipes

    out = Output(as_json)
    if name is not None:
        text = recipes.bundled_text(name)
        out.json({"name": name, "toml": text})
        out.line(text.rstrip("\n"))
        return
    found = recipes.bundled_recipes()
    out.json(found)
    rows = [(each.name, each.about, each.base_url, each.verified) for each in found]
    out.table(("RECIPE", "WHAT", "BASE URL", "VERIFIED AGAINST"), rows)


@app.command("try-recipe")
def try_recipe(
    recipe: Annotated[
        str, typer.Argument(metavar="FILE", help="A recipe in TOML, or the name of a bundled one.")
    ],
    answers: Annotated[
        list[str],
        typer.Argument(
            metavar="ANSWER...",
            help="Files of recorded responses: the body itself, or "
            '{"answer": {"status": 404, "headers": {}, "body": {}}}.',
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show how a recipe reads recorded responses, without any request.

    Exit with 1 if the recipe is refused, or a response cannot be read.
    """
    from tunehook.operations import recipes

    out = Output(as_json)
    try:
        tried = recipes.try_recipe(recipes.recipe_in(recipe), answers)
    except InvalidInput as error:
        note(f"tunehook: {printable(error.reason)}")
        raise typer.Exit(1) from None
    out.json(tried)
    for each in tried:
        print_tried(out, each)
    if any(each.problem for each in tried):
        raise typer.Exit(1)
