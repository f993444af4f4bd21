"""From models to a running page: a port, a browser, Ctrl-C."""

import contextlib
import errno
import socket
import threading
import webbrowser
from collections.abc import Iterator

import torch
import uvicorn

from digitset.demo.app import create_app
from digitset.errors import InputError
from digitset.inference.predictor import Predictor

PORT, TRIED = 8000, 20  # the first port and how many from it on, where none is asked for
CONNECTIONS = 500  # at once; a caller beyond them is told to come back (503)


def serve(
    predictors: dict[str, Predictor], host: str = "127.0.0.1", port: int | None = None, open_browser: bool = True
) -> None:
    """Serves the page and the service until Ctrl-C, and prints the address.

    Port 0 is any that is free, and None is 8000 or, if that is taken, the next one that is free.

    A question is answered in one thread, two questions at a time: many callers wait in a row, not in each other's way.
    Raises InputError where the address cannot be had.
    """
    app = create_app(predictors, host)
    with _one_thread(), _listening(host, port) as listener:
        shown = f"[{host}]" if ":" in host else host
        chosen = listener.getsockname()[1]
        address = f"http://{shown}:{chosen}"
        taken = "" if port is not None or chosen == PORT else f"; port {PORT} is taken"
        print(f"{address}   Ctrl-C ends it{taken}", flush=True)
        if open_browser:  # some browsers come back only when they are closed
            threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()
        config = uvicorn.Config(
            app, log_level="warning", lifespan="off", limit_concurrency=CONNECTIONS, timeout_graceful_shutdown=2
        )
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
    except (OSError, OverflowError) as error:
        listener.close()
        kind = _TakenError if isinstance(error, OSError) and error.errno == errno.EADDRINUSE else InputError
        raise kind(f"cannot listen on {host}, port {port}: {error}; choose another --port") from None
    return listener
