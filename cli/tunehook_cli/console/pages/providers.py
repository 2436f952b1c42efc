"""The providers: add and change, check, pauses and refused keys, callback URL."""

from __future__ import annotations

from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from tunehook.errors import InvalidInput, TunehookError
from tunehook.operations import callbacks, documents, probe, recipes
from tunehook.operations import providers as operations
from tunehook.operations.stack import Stack
from tunehook.providers.kinds import ADAPTERS
from tunehook.times import now_ms
from tunehook_cli.console.views import stack_of, text_of, views_of, went_well

TROUBLE: Final = "trouble"
"""The filter of the list: those that are paused, refuse their key, or cannot be used."""

_KEPT: Final = ("name", "kind", "recipe", "base_url", "max_concurrency", "requests_per_second")
"""The fields of the form that are shown again where it was refused: all but the key."""


def listing(request: Request) -> Response:
    """Show all providers with what is known of each."""
    return _page(request, stack_of(request))


def _page(request: Request, stack: Stack, **told: Any) -> Response:
    found, states, now = operations.list_providers(stack), stack.provider_states.all(), now_ms()
    rows = []
    for name, config in sorted(found.usable.items()):
        state = states.get(name)
        pause = state and state.pause
        rows.append(
            documents.provider_document(config).to_json()
            | {
                "refusal": state and state.refusal,
                "pause": pause if pause and pause.until_ms > now else None,
            }
        )
    rows += [
        documents.unusable_provider_document(name, error).to_json() | {"refusal": None, "pause": None}
        for name, error in found.errors.items()
    ]
    narrowed = request.query_params.get("state") == TROUBLE
    if narrowed:
        rows = [each for each in rows if each["refusal"] or each["pause"] or not each["usable"]]
    values: dict[str, Any] = {"problem": None, "check": None, "callback": None, "given": {}, **told}
    return views_of(request).page(
        request,
        "providers.html",
        status=422 if values["problem"] else 200,
        heading="Providers",
        rows=rows,
        is_narrowed=narrowed,
        kinds=sorted(ADAPTERS),
        recipes=recipes.bundled_recipes(),
        **values,
    )


async def change(request: Request) -> Response:
    """Add a provider, or change one; an empty field stays as it is."""
    stack, form = stack_of(request), await request.form()
    fields: dict[str, Any] = {
        name: text for name in ("kind", "recipe", "base_url", "api_key") if (text := text_of(form, name))
    }
    name = text_of(form, "name")
    try:
        if concurrency := text_of(form, "max_concurrency"):
            fields["max_concurrency"] = _number(concurrency, "max_concurrency", int)
        if rate := text_of(form, "requests_per_second"):
            fields["requests_per_second"] = _number(rate, "requests_per_second", float)
        await run_in_threadpool(operations.change_provider, stack, name, fields)
    except TunehookError as error:
        given = {key: text_of(form, key) for key in _KEPT}
        return await run_in_threadpool(_page, request, stack, problem=str(error), given=given)
    return went_well("/providers", "provider")


def _number(text: str, field: str, kind: type[int] | type[float]) -> int | float:
    try:
        return kind(text)
    except ValueError:
        raise InvalidInput(field, "is no number") from None


async def check(request: Request) -> Response:
    """Ask a provider once, and say what its answer means."""
    stack, form = stack_of(request), await request.form()
    name, task_id = text_of(form, "name"), text_of(form, "task_id")

    def ask() -> dict[str, Any]:
        config = operations.get_provider(stack, name)
        found = probe.check_provider(stack, config, task_id or None, lambda _: None)
        polled = found.probe
        return {
            "name": name,
            "verdict": probe.verdict(polled),
            "useful": polled.useful,
            "answer": polled.answer or "nothing",
            "seconds": polled.seconds,
            "outcome": found.outcome,
            "advice": found.advice,
        }

    try:
        said = await run_in_threadpool(ask)
    except TunehookError as error:
        checked = {"check_name": name, "check_task": task_id}
        return await run_in_threadpool(_page, request, stack, problem=str(error), given=checked)
    return await run_in_threadpool(
        _page, request, stack, check=said, given={"check_name": name, "check_task": task_id}
    )


async def show_callback_url(request: Request) -> Response:
    """Show the URL that a provider is to call; it is asked for by a form, so that no page and no link has it."""
    stack, form = stack_of(request), await request.form()
    name = text_of(form, "name")
    try:
        url = await run_in_threadpool(callbacks.callback_url, stack, name)
    except TunehookError as error:
        return await run_in_threadpool(_page, request, stack, problem=str(error))
    return await run_in_threadpool(_page, request, stack, callback={"name": name, "url": url})
