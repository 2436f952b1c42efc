"""The providers: add and change, check, pauses and refused keys, callback URL."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from tunehook.errors import InvalidInput, TunehookError
from tunehook.operations import callbacks, documents, probe
from tunehook.operations import providers as operations
from tunehook.operations.stack import Stack
from tunehook.providers.kinds import ADAPTERS
from tunehook.times import now_ms
from tunehook_cli.console.views import stack_of, text_of, views_of, went_well


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
                "callback_url": _callback_url(stack, name),
            }
        )
    rows += [
        documents.unusable_provider_document(name, error).to_json()
        | {"refusal": None, "pause": None, "callback_url": None}
        for name, error in found.errors.items()
    ]
    values: dict[str, Any] = {"problem": None, "check": None, "given": {}, **told}
    return views_of(request).page(
        request,
        "providers.html",
        status=422 if values["problem"] else 200,
        heading="Providers",
        rows=rows,
        kinds=sorted(ADAPTERS),
        **values,
    )


def _callback_url(stack: Stack, name: str) -> str | None:
    try:
        return callbacks.callback_url(stack, name)
    except TunehookError:
        # Without the HTTP API there is none.
        return None


async def change(request: Request) -> Response:
    """Add a provider, or change one; an empty field stays as it is."""
    stack, form = stack_of(request), await request.form()
    fields: dict[str, Any] = {
        name: text for name in ("kind", "base_url", "api_key") if (text := text_of(form, name))
    }
    name = text_of(form, "name")
    try:
        if concurrency := text_of(form, "max_concurrency"):
            fields["max_concurrency"] = _number(concurrency, "max_concurrency", int)
        if rate := text_of(form, "requests_per_second"):
            fields["requests_per_second"] = _number(rate, "requests_per_second", float)
        await run_in_threadpool(operations.change_provider, stack, name, fields)
    except InvalidInput as error:
        given = {key: value for key, value in fields.items() if key != "api_key"} | {"name": name}
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

    said = await run_in_threadpool(ask)
    return await run_in_threadpool(_page, request, stack, check=said)
