"""What keeps the console to the one who started it: a token, the Host, the Origin, and a policy for the browser."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "media-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
"""No inline script, no inline style, nothing from elsewhere."""

_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    # With `no-referrer` a browser sends `Origin: null` with a form, and every change would be refused.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_READING: Final = ("GET", "HEAD")

FORM_MAX_BYTES: Final = 64 * 1024
"""How long the body of a form may be: of a thousand ids of deliveries, most of all."""


_TOO_LONG: Final = f"a form has at most {FORM_MAX_BYTES // 1024} kB"


class Guard:
    """Let a request through only from the browser that was given the token, at this address, from this page.

    The token comes once in the query (``?token=``), and is a cookie from then on. Names of other hosts are refused, so
    that no web page can reach the console by a name that leads to this machine; so is a change that another page sends.
    With `read_only` every change is refused, and so is always a body that no form of the console has.
    """

    def __init__(self, app: ASGIApp, *, token: str, port: int, read_only: bool) -> None:
        self._app = app
        self._token = token
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        # Cookies are the host's, whatever the port: two consoles must not put out each other's.
        self._cookie = f"tunehook_console_{port}"
        self._read_only = read_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("content-security-policy", POLICY)
                headers.setdefault("cache-control", "no-store")
                headers.update(_HEADERS)
            await send(message)

        received = 0

        async def receive_bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > FORM_MAX_BYTES:
                raise HTTPException(413, _TOO_LONG)
            return message

        own = self._own_answer(Request(scope))
        await (self._app if own is None else own)(scope, receive_bounded, send_with_policy)

    def _own_answer(self, request: Request) -> Response | None:
        if request.headers.get("host", "").lower() not in self._hosts:
            return PlainTextResponse("this console answers at 127.0.0.1 and localhost only", 421)
        if request.method == "GET" and self._is_token(request.query_params.get("token")):
            return self._let_in(request)
        if not self._is_token(request.cookies.get(self._cookie)):
            return PlainTextResponse(
                "open the address that `tunehook console` has printed: it has a token", 403
            )
        if request.method in _READING:
            return None
        if not self._is_own_origin(request):
            return PlainTextResponse("this request comes from another page", 403)
        if self._read_only:
            return PlainTextResponse("this console was started with --read-only", 403)
        said = request.headers.get("content-length", "0")
        if not said.isdecimal() or int(said) > FORM_MAX_BYTES:
            return PlainTextResponse(_TOO_LONG, 413)
        return None

    def _is_token(self, given: str | None) -> bool:
        return given is not None and hmac.compare_digest(given.encode(), self._token.encode())

    def _let_in(self, request: Request) -> Response:
        rest = [pair for pair in request.query_params.multi_items() if pair[0] != "token"]
        # Without the token, so that it stays out of the browser's history and of what is copied from its bar. The path
        # has one slash in front: with two it would name another host.
        place = "/" + request.url.path.lstrip("/") + (f"?{urlencode(rest)}" if rest else "")
        answer = RedirectResponse(place, 303)
        answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
        return answer

    def _is_own_origin(self, request: Request) -> bool:
        origin = request.headers.get("origin")
        if origin is None:
            return request.headers.get("sec-fetch-site") == "same-origin"
        return urlsplit(origin).scheme == "http" and origin.removeprefix("http://").lower() in self._hosts
