"""What every request passes on its way in, and every response on its way out: a limit, and headers."""

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST = 4 << 20  # bytes of a request that are read
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
    """Refuses bodies of more than `LARGEST` bytes before anything reads them, and sends `HEADERS` with all responses.

    Pages of other sites are refused too: a browser says of each request where it comes from.

    Bytes are counted as they come: a length that a caller declares is not believed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            await send(message)

        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if not _from_here(scope["headers"]):
            problem = JSONResponse(
                {"error": "expected a request of this page or of a program, got another site's"}, 403
            )
            return await problem(scope, receive, send_more)
        size, messages = await _body(receive)
        if size > LARGEST:
            problem = JSONResponse({"error": f"expected a body of at most {LARGEST:,} bytes, got more"}, 413)
            return await problem(scope, receive, send_more)

        async def receive_again() -> Message:
            return messages.pop(0) if messages else await receive()

        return await self.app(scope, receive_again, send_more)


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


async def _body(receive: Receive) -> tuple[int, list[Message]]:
    """The size of a body, as far as it was received, and its messages; none of a body that is too large."""
    size, messages, more = 0, [], True
    while more and size <= PATIENCE:
        message = await receive()
        more = message["type"] == "http.request" and message.get("more_body", False)
        size += len(message.get("body", b""))
        messages.append(message)
        if size > LARGEST:
            messages.clear()
    return size, messages
