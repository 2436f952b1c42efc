"""`tunehook outputs`: where the stack has its API, and what it calls its tables, its bucket and its policies."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Final

import typer

from tunehook.errors import InvalidInput
from tunehook_cli.commands.options import AsJson, StackName
from tunehook_cli.output import Output, printable
from tunehook_cli.stack import find_stack

_API_URL: Final = "ApiUrl"


def outputs(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Print the value of this output alone.")
    ] = None,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Show the stack's outputs, which an application needs: the API's URL, names of tables, ARNs of policies."""
    out, deployed = Output(as_json), find_stack(stack)
    found = dict(deployed.outputs)
    if _API_URL in found:
        # On the embedded AWS it is another: no name server knows the host that CloudFormation names.
        found[_API_URL] = deployed.api_url
    if name is None:
        out.json(dict(sorted(found.items())))
        out.fields(sorted(found.items()))
        return
    if name not in found:
        nearest = get_close_matches(name, found, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ": `tunehook outputs` lists them"
        raise InvalidInput("NAME", f"the stack has no output {printable(name)}{hint}")
    out.json({name: found[name]})
    out.line(found[name])
