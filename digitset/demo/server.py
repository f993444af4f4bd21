"""From models to a running page: a port, a browser, Ctrl-C."""

import contextlib
import socket
import threading
import webbrowser
from collections.abc import Iterator

import torch
import uvicorn

from digitset.demo.app import create_app
from digitset.errors import InputError
from digitset.inference.predictor import Predictor

CONNECTIONS = 500  # at once; a caller beyond them is told to come back (503)


def serve(
    predictors: dict[str, Predictor], host: str = "127.0.0.1", port: int = 8000, open_browser: bool = True
) -> None:
    """Serves the page and the service until Ctrl-C, and prints the address. Port 0 is any that is free.

    A question is answered in one thread, two questions at a time: many callers wait in a row, not in each other's way.
    Raises InputError where the address cannot be had.
    """
    app = create_app(predictors, host)
    with _one_thread(), _listening(host, port) as listener:
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listener.getsockname()[1]}"
        print(f"{address}   Ctrl-C ends it", flush=True)
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


def _listening(host: str, port: int) -> socket.socket:
    """A socket that takes connections from now on; they wait until the server is up."""
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
        raise InputError(f"cannot listen on {host}, port {port}: {error}; choose another --port") from None
    return listener
