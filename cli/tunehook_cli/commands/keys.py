"""`tunehook keys`: who may use the HTTP API."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tunehook.api_keys import ApiKey, Scope
from tunehook.operations import keys
from tunehook.times import now_ms
from tunehook_cli.asking import Yes, confirm
from tunehook_cli.commands.options import AsJson, StackName
from tunehook_cli.durations import parse_duration
from tunehook_cli.output import Output, moment, printable
from tunehook_cli.stack import find_stack

app = typer.Typer(no_args_is_help=True)


@app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is, for people.")],
    scope: Annotated[
        Scope,
        typer.Option(
            help="What it may do: read; write adds tasks, submissions, redeliver and recover; "
            "admin adds subscriptions and their secrets."
        ),
    ] = Scope.READ,
    expires: Annotated[
        str | None, typer.Option(help="For how long it is good, such as 90d.", show_default="until revoked")
    ] = None,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Make a key of the HTTP API, and print it: only this once, and nothing else on standard output."""
    life_ms = None if expires is None else parse_duration(expires, "expires")
    created = keys.create_key(find_stack(stack), name, scope, expires_in_ms=life_ms)
    out, key = Output(as_json), created.key
    out.json(lambda: _document(key, key.created_at_ms) | {"key": created.text})
    until = "revoked" if key.expires_at_ms is None else moment(key.expires_at_ms)
    out.note(
        f"Created the key {key.key_id} for {printable(name)}, with the scope {scope.value}, until {until}."
    )
    out.note("Keep it now: it cannot be printed again.")
    out.line(created.text)


@app.command("list")
def list_keys(as_json: AsJson = False, stack: StackName = None) -> None:
    """List the keys, without what they are sent as. LAST USED is written at most once an hour."""
    out, found, present_ms = Output(as_json), keys.list_keys(find_stack(stack)), now_ms()
    out.json(lambda: [_document(key, present_ms) for key in found])
    if found:
        headers = ("ID", "NAME", "SCOPE", "STATE", "CREATED", "EXPIRES", "LAST USED")
        out.table(headers, (_row(key, present_ms) for key in found))
    else:
        out.note("There are no keys: make one with `tunehook keys create NAME`.")


@app.command("revoke")
def revoke_key(
    key: Annotated[str, typer.Argument(metavar="ID", help="The key's id, or its name.")],
    yes: Yes = False,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Revoke a key for ever. This takes effect within 60 seconds."""
    confirm(lambda: f"Revoke the key {key}? Whoever uses it is refused from then on.", yes=yes)
    out, revoked = Output(as_json), keys.revoke_key(find_stack(stack), key)
    out.json(lambda: _document(revoked, now_ms()))
    out.line(f"Revoked the key {revoked.key_id} of {printable(revoked.name)}.")


def _document(key: ApiKey, present_ms: int) -> dict[str, Any]:
    from tunehook.operations.documents import key_document

    return key_document(key, present_ms).to_json()


def _row(key: ApiKey, present_ms: int) -> tuple[object, ...]:
    moments = map(moment, (key.created_at_ms, key.expires_at_ms, key.last_used_at_ms))
    return key.key_id, key.name, key.scope.value, key.state(present_ms).value, *moments
