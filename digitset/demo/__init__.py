"""`digitset demo`: a page on this machine where a person draws digits, and the same service for programs.

With `--static` it is a folder with the same page, which needs no service.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from digitset.errors import InputError

if TYPE_CHECKING:
    from digitset.inference.predictor import Predictor


def serve(
    predictors: "dict[str, Predictor]", host: str = "127.0.0.1", port: int | None = None, open_browser: bool = True
) -> None:
    """Serves models by name ("sum/exact") until Ctrl-C; the page begins with the first. See `digitset.demo.server`.

    `port`: 0 is any that is free, and None 8000 or, if that is taken, the next one that is free.
    Raises InputError if the extra `demo` is not installed, and where the address cannot be had.
    """
    try:
        from digitset.demo.server import serve
    except ModuleNotFoundError as error:
        raise InputError(f"the demo needs {error.name}: install digitset[demo]") from None
    serve(predictors, host, port, open_browser)


def write_page(predictors: "dict[str, Predictor]", folder: str | Path, runtime: str | Path | None = None) -> None:
    """Writes the page into a folder for any static host; see `digitset.demo.static_page`.

    `runtime` is npm's package onnxruntime-web, by default in the current folder. Raises InputError if an extra is not
    installed, and as `digitset.demo.static_page.write_page` does.
    """
    try:
        from digitset.demo.static_page import RUNTIME, write_page
    except ModuleNotFoundError as error:
        raise InputError(f"the static page needs {error.name}: install digitset[demo,onnx]") from None
    write_page(predictors, folder, RUNTIME if runtime is None else runtime)
