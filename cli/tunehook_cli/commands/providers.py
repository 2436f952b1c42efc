"""`tunehook providers`: which providers are watched, and with which keys."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tunehook.errors import InvalidInput
from tunehook_cli import output
from tunehook_cli.commands.options import AsJson, StackName, refused_as
from tunehook_cli.stack import find_stack

if TYPE_CHECKING:
    from tunehook.providers.config import ProviderConfig

app = typer.Typer(no_args_is_help=True, help="The providers that are watched, and their API keys.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name that tasks carry.", show_default=False)]


_SANDBOX: Final = re.compile(r"http://(?:127\.0\.0\.1|localhost):\d+/suno")
"""Where `tunehook sandbox` has its suno gateway: a base URL that only looks like a mistake."""


@app.command("set")
def set_provider(
    name: Name,
    kind: Annotated[
        str, typer.Option(help="What it speaks, such as musicmint, qhaigc or suno.", show_default=False)
    ],
    base_url: Annotated[
        str, typer.Option(help="What the paths of its API are appended to.", show_default=False)
    ],
    api_key: Annotated[
        str,
        typer.Option(
            envvar="TUNEHOOK_API_KEY",
            help="Its key. With '-' it is read from standard input, and stays out of the shell's history.",
            show_default=False,
        ),
    ],
    max_concurrency: Annotated[
        int | None, typer.Option(help="Requests at a time.", show_default="32")
    ] = None,
    requests_per_second: Annotated[
        float | None, typer.Option(help="Requests in a second.", show_default="no limit")
    ] = None,
    no_batch: Annotated[
        bool, typer.Option("--no-batch", help="Ask about one task in each request, never about many.")
    ] = False,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Add a provider, or replace the one of that name. Pollers see it within 60 seconds."""
    from tunehook.providers.config import better_base_urls
    from tunehook_cli.providers_secret import checked_entry, with_provider

    entry: dict[str, Any] = {"kind": kind, "base_url": base_url, "api_key": _key(api_key)}
    if max_concurrency is not None:
        entry["max_concurrency"] = max_concurrency
    if requests_per_second is not None:
        entry["requests_per_second"] = requests_per_second
    if no_batch:
        entry["batch"] = False
    with refused_as(
        name="NAME",
        kind="--kind",
        base_url="--base-url",
        api_key="--api-key",
        max_concurrency="--max-concurrency",
        requests_per_second="--requests-per-second",
    ):
        config = checked_entry(name, entry)
    found = find_stack(stack)
    replaced = found.change_providers(lambda secret: with_provider(secret, config))
    if config.base_url.startswith("http://"):
        output.warn(f"{config.base_url} is plain http: the API key travels unencrypted")
    better = better_base_urls(config.kind, config.base_url)
    if better and not _SANDBOX.fullmatch(config.base_url):
        output.warn(
            f"the paths of the API are appended to the base URL: {better[0]} is probably meant; "
            f"`tunehook providers check {name}` tries both"
        )
    if as_json:
        output.print_json(_without_key(config) | {"replaced": replaced})
    else:
        print(
            f"{'Replaced' if replaced else 'Added'} the provider {name}, {config.kind} at {config.base_url}."
        )


def _without_key(config: ProviderConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", exclude={"api_key"})


@app.command("list")
def list_providers(as_json: AsJson = False, stack: StackName = None) -> None:
    """List the providers; of a key only its end is shown."""
    from tunehook.providers.config import read_providers
    from tunehook_cli.providers_secret import masked

    providers = read_providers(find_stack(stack).providers_json())
    if as_json:
        output.print_json(
            [*map(_without_key, providers.usable.values())]
            + [{"name": name, "error": str(error)} for name, error in providers.errors.items()]
        )
        return
    if not providers.usable and not providers.errors:
        output.note("No provider is configured: add one with `tunehook providers set`.")
        return
    rows: list[tuple[object, ...]] = [
        (
            config.name,
            config.kind,
            masked(config.api_key.get_secret_value()),
            _limits(config),
            config.base_url,
        )
        for config in providers.usable.values()
    ]
    rows += [
        (name, "unusable", None, None, f"{error.field.removeprefix('providers.')}: {error.reason}")
        for name, error in providers.errors.items()
    ]
    output.print_table(("NAME", "KIND", "KEY", "LIMITS", "BASE URL"), rows)


@app.command("remove")
def remove_provider(name: Name, as_json: AsJson = False, stack: StackName = None) -> None:
    """Remove a provider. Its pending tasks wait for one of that name, at most 24 hours beyond their deadline."""
    from tunehook_cli.providers_secret import without_provider

    if not find_stack(stack).change_providers(lambda secret: without_provider(secret, name)):
        raise _unknown(name)
    if as_json:
        output.print_json({"name": name, "removed": True})
    else:
        print(f"Removed the provider {name}.")


def _unknown(name: str) -> InvalidInput:
    return InvalidInput("NAME", f"no provider {name} is configured")


@app.command("check")
def check_provider(
    name: Name,
    task_id: Annotated[
        str | None,
        typer.Argument(metavar="TASK_ID", help="A task to ask about; without one, only the key is tried."),
    ] = None,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Ask the live provider once, from this machine, and say what came back; exit with 1 if it is of no use."""
    from tunehook.providers.config import read_providers
    from tunehook_cli.probe import advice, ask_once, better_places, in_words, is_known_key, remember

    found = find_stack(stack)
    providers = read_providers(found.providers_json())
    if name in providers.errors:
        raise providers.errors[name]
    if name not in providers.usable:
        raise _unknown(name)
    config = providers.usable[name]
    probe = ask_once(config, task_id)
    was_accepted = is_known_key(found, config)
    better = [] if probe.useful else better_places(config, task_id)
    outcome = in_words(probe, was_accepted=was_accepted)
    to_do = advice(probe, config, better, was_accepted=was_accepted)
    if as_json:
        output.print_json(
            {
                "provider": name,
                "kind": config.kind,
                "base_url": config.base_url,
                "task_id": probe.task_id,
                "useful": probe.useful,
                "answer": probe.answer,
                "seconds": round(probe.seconds, 3),
                "outcome": outcome,
                "advice": to_do,
            }
        )
    else:
        output.print_fields(
            (
                ("provider", f"{name}, {config.kind} at {config.base_url}"),
                ("asked about", f"task {probe.task_id}" + ("" if task_id else ", which cannot be there")),
                ("came back", f"{probe.answer or 'nothing'}, after {probe.seconds:.2f} s"),
                ("outcome", outcome),
                ("what to do", to_do),
            )
        )
    if not probe.useful:
        raise typer.Exit(1)
    remember(found, config)


def _key(option: str) -> str:
    if option != "-":
        return option
    if sys.stdin.isatty():
        return str(typer.prompt("API key", hide_input=True, err=True))
    try:
        return sys.stdin.readline()
    except UnicodeDecodeError:
        raise InvalidInput("--api-key", "what came from standard input is no text") from None


def _limits(config: ProviderConfig) -> str:
    rate = config.requests_per_second
    parts = [f"{config.max_concurrency} at a time"]
    if rate is not None:
        parts.append(f"{rate:g}/s")
    if not config.batch:
        parts.append("one by one")
    return ", ".join(parts)
