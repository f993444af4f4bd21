"""From models to a running page: a port, a browser, Ctrl-C."""

import asyncio
import contextlib
import errno
import socket
import sys
import threading
import webbrowser
from collections.abc import Iterator

import torch
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from digitset.demo.app import EVERYWHERE, create_app
from digitset.errors import InputError
from digitset.inference.predictor import Predictor

PORT, TRIED = 8000, 20  # the first port and how many from it on, where none is asked for
CONNECTIONS = 500  # at once; beyond them, those that ask nothing are closed, the longest silent first
SILENCE = 5  # seconds without a request, or without taking anything of a response
OPEN = (
    "digitset: with this --host everybody in the network may ask, and pages of other sites whose name points here may "
    "too: the name of the host is not checked"
)


class Impatient(H11Protocol):
    """A connection that is closed if its caller does not send the head of a request, or takes nothing of a response.

    One more than there may be closes the one that has been silent for longest. Those whose request is under way stay:
    `digitset.demo.gate` has limits for them.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self.since = self.loop.time()
        if len(self.connections) > CONNECTIONS:
            there = [each for each in self.connections if isinstance(each, Impatient)]
            there = [each for each in there if not each.transport.is_closing()]  # others are closed in a moment
            silent = [each for each in there if each.stuck() is not None]
            if len(there) > CONNECTIONS:
                min(silent, key=lambda each: each.since).transport.abort()
        self.loop.call_later(SILENCE, self.look, self.stuck())

    def stuck(self) -> object:
        """Something that stays the same while the caller does nothing; None while it is the service's turn."""
        if left := self.transport.get_write_buffer_size():
            return left
        if self.cycle is None:
            return self
        return self.cycle if self.cycle.response_complete else None

    def look(self, before: object) -> None:
        """Closes the connection if nothing has happened since the look before."""
        now = self.stuck()
        if self.transport.is_closing():
            return
        if now is not None and now == before:
            self.transport.abort()
            return
        self.since = self.loop.time()
        self.loop.call_later(SILENCE, self.look, now)


def serve(
    predictors: dict[str, Predictor], host: str = "127.0.0.1", port: int | None = None, open_browser: bool = True
) -> None:
    """Serves the page and the service until Ctrl-C, and prints the address.

    Port 0 is any that is free, and None is 8000 or, if that is taken, the next one that is free.

    A question is answered in one thread; `digitset.demo.app.Queues` says how many at once.
    Raises InputError where the address cannot be had.
    """
    app = create_app(predictors, host)
    with _one_thread(), _listening(host, port) as listener:
        shown = f"[{host}]" if ":" in host else host
        chosen = listener.getsockname()[1]
        address = f"http://{shown}:{chosen}"
        taken = "" if port is not None or chosen == PORT else f"; port {PORT} is taken"
        print(f"{address}   Ctrl-C ends it{taken}", flush=True)
        if host in EVERYWHERE:
            print(OPEN, file=sys.stderr, flush=True)
        if open_browser:  # some browsers come back only when they are closed
            threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()
        config = uvicorn.Config(app, http=Impatient, log_level="warning", lifespan="off", timeout_graceful_shutdown=2)
        with contextlib.suppress(KeyboardInterrupt):  # how a server is ended
            uvicorn.Server(config).run(sockets=[listener])


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """A context in which torch computes in one thread; after it, in as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _TakenError(InputError):
    """Another program listens there."""


def _listening(host: str, port: int | None) -> socket.socket:
    """A socket that takes connections from now on; they wait until the server is up."""
    if port is not None:
        return _listening_at(host, port)
    for each in range(PORT, PORT + TRIED):
        with contextlib.suppress(_TakenError):
            return _listening_at(host, each)
    raise InputError(f"cannot listen on {host}: ports {PORT} to {PORT + TRIED - 1} are taken; choose another --port")


def _listening_at(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except socket.gaierror as error:
        listener.close()
        raise InputError(f"--host: expected an address of this machine, got {host} ({error.strerror})") from None
    except (TypeError, UnicodeError) as error:  # no text, or none that can be a name
        listener.close()
        raise InputError(f"--host: expected an address of this machine, got {host:.200} ({error})") from None
    except (OSError, OverflowError) as error:
        listener.close()
        kind = _TakenError if isinstance(error, OSError) and error.errno == errno.EADDRINUSE else InputError
        raise kind(f"cannot listen on {host}, port {port}: {error}; choose another --port") from None
    return listener
