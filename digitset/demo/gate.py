"""What every request passes on its way in, and every response on its way out: limits, and headers."""

import anyio
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST = 4 << 20  # bytes of a request that are read
REQUESTS = 400  # at once, of which bodies are still to come or that wait for their turn
HELD = 48 << 20  # bytes of bodies at once; beyond, only small ones are taken, of which `REQUESTS` are no more than that
SMALL_BODY = 64 << 10
BODY_SECONDS = 10
ALWAYS = "/health"
FULL = "too many questions at once; come back in a second"
COME_BACK, CLOSE = {"retry-after": "1"}, {"connection": "close"}
PATIENCE = 64 << 20  # bytes that are received and forgotten, so that a caller hears why instead of a broken pipe
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}


class Gate:
    """What all requests pass: refuses what is too much, too slow or of another site, and sends `HEADERS` with answers.

    A body of more than `LARGEST` bytes is refused before anything reads it. Bytes are counted as they come: a length
    that a caller declares is not believed. A body that has not come within `BODY_SECONDS` is given up. Beyond
    `REQUESTS` at once, or `HELD` bytes of their bodies for all but small ones, callers are asked to come back; `ALWAYS`
    is answered.

    Pages of other sites are refused too: a browser says of each request where it comes from.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.requests = self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            await send(message)

        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if not _from_here(scope["headers"]):
            response = problem(403, "expected a request of this page or of a program, got another site's")
            return await response(scope, receive, send_more)
        if self.requests >= REQUESTS and scope["path"] != ALWAYS:
            return await full()(scope, receive, send_more)
        self.requests += 1
        body = _Body(self)
        try:
            answer = await body.refused(receive) or self.app
            await answer(scope, body.again(receive), send_more)
        finally:
            self.requests -= 1
            self.held -= body.held


class _Body:
    """The body of a request as it was received, in messages."""

    def __init__(self, gate: Gate) -> None:
        self.gate, self.held = gate, 0
        self.messages: list[Message] = []

    async def refused(self, receive: Receive) -> JSONResponse | None:
        """Receives the body; the response to one that is refused, which is forgotten at once."""
        size, more, response = 0, True, None
        with anyio.move_on_after(BODY_SECONDS) as time:
            while more and size <= PATIENCE:
                message = await receive()
                more = message["type"] == "http.request" and message.get("more_body", False)
                count = len(message.get("body", b""))
                size, self.held, self.gate.held = size + count, self.held + count, self.gate.held + count
                self.messages.append(message)
                if size > LARGEST:
                    response = problem(413, f"expected a body of at most {LARGEST:,} bytes, got more")
                elif self.held > SMALL_BODY and self.gate.held > HELD:
                    response = full()
                if response is not None:
                    self._forget()
        if time.cancelled_caught:
            response = problem(408, f"expected the whole body within {BODY_SECONDS} seconds", CLOSE)
            self._forget()
        return response

    def again(self, receive: Receive) -> Receive:
        """What gives the messages to whoever asks next, and then what is received after them."""

        async def receive_again() -> Message:
            return self.messages.pop(0) if self.messages else await receive()

        return receive_again

    def _forget(self) -> None:
        self.gate.held -= self.held
        self.held = 0
        self.messages.clear()


def problem(status: int, error: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": error}, status, headers)


def full() -> JSONResponse:
    """The response to a request for which there is no room now."""
    return problem(503, FULL, COME_BACK | CLOSE)


def _from_here(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the caller is a program, which names no origin, or a page of this very host.

    An origin is compared whole: what a text ends with says nothing. Of two origins or two hosts none is believed.
    """
    origins, hosts = (
        [value.lower() for name, value in headers if name.lower() == wanted] for wanted in (b"origin", b"host")
    )
    if not origins:
        return len(hosts) <= 1
    return len(origins) == len(hosts) == 1 and origins[0] in (b"http://" + hosts[0], b"https://" + hosts[0])
