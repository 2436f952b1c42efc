"""The console as an ASGI application: its routes, its errors, and the guard around all of them."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tunehook.aws.error_messages import describe_error
from tunehook.aws.errors import AWS_FAULTS
from tunehook.errors import Conflict, InvalidInput, NotFound, TunehookError
from tunehook.operations.stack import Stack
from tunehook_cli.console.pages import (
    dead_letters,
    deliveries,
    media,
    overview,
    providers,
    subscriptions,
    tasks,
)
from tunehook_cli.console.safety import Guard
from tunehook_cli.console.views import HERE, Views

_STATUSES: Final = ((NotFound, 404), (Conflict, 409), (InvalidInput, 422))


def create_app(stack: Stack, *, token: str, port: int, read_only: bool) -> Starlette:
    """Return the console of a stack, for requests to this port that have the token.

    Its live lists end when the event ``state.stopping`` is set.
    """
    routes = [
        *(Route(path, view, methods=[method]) for method, path, view in _ROUTES),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={
            HTTPException: _http_error,
            TunehookError: _expected_error,
            **dict.fromkeys(AWS_FAULTS, _expected_error),
        },
        middleware=[Middleware(Guard, token=token, port=port, read_only=read_only)],
    )
    app.state.stack = stack
    app.state.stopping = asyncio.Event()
    app.state.recent = overview.Recent(stack)
    app.state.views = Views(stack, read_only=read_only)
    return app


_ROUTES: Final = (
    ("GET", "/", overview.show),
    ("GET", "/overview/timings", overview.timings_part),
    ("GET", "/tasks", tasks.listing),
    ("GET", "/tasks/rows", tasks.more_rows),
    ("GET", "/tasks/live", tasks.live_rows),
    ("GET", "/task", tasks.show),
    ("POST", "/task/archive", tasks.archive),
    ("POST", "/task/rerun", tasks.rerun),
    ("POST", "/task/cancel", tasks.cancel),
    ("GET", "/media", media.show),
    ("GET", "/deliveries", deliveries.listing),
    ("GET", "/deliveries/rows", deliveries.more_rows),
    ("POST", "/deliveries/resend", deliveries.resend_many),
    ("GET", "/delivery", deliveries.show),
    ("POST", "/delivery/resend", deliveries.resend),
    ("GET", "/subscriptions", subscriptions.listing),
    ("GET", "/subscriptions/new", subscriptions.new),
    ("POST", "/subscriptions/new", subscriptions.create),
    ("GET", "/subscription", subscriptions.show),
    ("GET", "/subscription/health", subscriptions.health),
    ("GET", "/subscription/keys", subscriptions.keys),
    ("POST", "/subscription/change", subscriptions.change),
    ("POST", "/subscription/test", subscriptions.test),
    ("POST", "/subscription/rotate", subscriptions.rotate),
    ("POST", "/subscription/disable", subscriptions.disable),
    ("POST", "/subscription/enable", subscriptions.enable),
    ("POST", "/subscription/recover", subscriptions.recover),
    ("POST", "/subscription/delete", subscriptions.delete),
    ("GET", "/providers", providers.listing),
    ("POST", "/providers/set", providers.change),
    ("POST", "/providers/check", providers.check),
    ("POST", "/providers/callback-url", providers.show_callback_url),
    ("GET", "/dead-letters", dead_letters.listing),
    ("GET", "/dead-letters/messages", dead_letters.messages),
    ("POST", "/dead-letters/redrive", dead_letters.redrive),
    ("POST", "/dead-letters/drop", dead_letters.drop),
)


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = error.detail if isinstance(error, HTTPException) else ""
    return _error_page(request, status, message)


async def _expected_error(request: Request, error: Exception) -> Response:
    status = next((code for kind, code in _STATUSES if isinstance(error, kind)), 503)
    message = str(error) if isinstance(error, TunehookError) else describe_error(error)
    if message is None:
        raise error
    return _error_page(request, status, message)


def _error_page(request: Request, status: int, message: str) -> Response:
    views: Views = request.app.state.views
    return views.page(request, "error.html", status=status, heading="That did not work", message=message)
