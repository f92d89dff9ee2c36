"""How many bytes one request may bring: what is longer is refused before all of it is in memory."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 16 << 20
MOST_DIGITS = 12
"""Of a length that a request announces; one with more is too long in any case."""


class Limited:
    """An ASGI application behind the limit; 413 is the answer to more."""

    def __init__(self, app: ASGIApp, most: int = MOST_BYTES) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        problem = f"a request may have {self._most:,} bytes; send fewer rows at once"
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if len(announced) > MOST_DIGITS or (announced.isdigit() and int(announced) > self._most):
            await JSONResponse({"detail": problem}, status_code=413)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._most:
                raise HTTPException(413, problem)
            return message

        await self._app(scope, counted, send)
