"""The entry point: exit codes, and help that does not wait for the parser of arguments."""

import contextlib
import io
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Generator
from importlib import metadata
from typing import NoReturn

from digitset import registry
from digitset.cli.completion import SHELLS, with_names
from digitset.errors import InputError, Stopped, TrainingError, unknown

# Name of a function in `training_commands` or `model_commands`, and the first line of its docstring.
COMMANDS = {
    "train": "Train a model: digitset train TASK --model MODEL --encoder ENCODER.",
    "data": "Show what --data would read: how many images of each label, a sheet of them, and what may be wrong.",
    "evaluate": "Score a finished run on the test images and keep the scores in its folder.",
    "show": "Show what a run is, its scores and its curves.",
    "compare": "Train the rows of README's tables, set them beside the published numbers, and write a report.",
    "bench": "Train a grid of tasks, models, encoders and seeds; write its tables, tests and page.",
    "report": "Write the page of a benchmark again, from its tables and runs.",
    "lengths": "Measure accuracy on sequences of 1 to 1,000 images, however long those in training were.",
    "predict": "Read your own pictures of digits: digitset predict sum a.png b.jpg.",
    "explain": "Draw why a model answers as it does: what each picture adds, where attention looks, how sure it is.",
    "demo": "Open a page where you draw digits and watch models read them, and a service. Needs digitset[demo].",
    "verify": "Check every file of a run, of a published model or of the runs of a benchmark.",
    "models": "List the trained models that come with the package, with scores and sizes.",
    "publish": "Write a run's weights, settings, scores and a card into a folder that anybody can load.",
    "export": "Write a trained model as an ONNX file that was compared with torch. Needs digitset[onnx].",
}


def main() -> None:
    """Exit code 0, 2 for a caller's mistake, 1 for training that cannot go on, 128 + n for a signal (Ctrl-C: 130)."""
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names and signs that the terminal or file cannot have
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd tags in pictures: what matters is an error
    try:
        try:
            with _signals_stop():
                _run()
        finally:
            sys.stdout.flush()  # here, where a reader that has gone is not an error of Python's end
    except SystemExit as stop:  # arguments that do not parse
        _end(stop.code)
    except InputError as error:
        _end(2, error)
    except KeyboardInterrupt as stop:
        sys.exit(_code(stop))
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more at its end
        sys.exit(1)
    except OSError as error:  # a folder that may not be written, a full disk
        if isinstance(error.__context__, KeyboardInterrupt):  # the terminal is gone, and nobody to tell
            _leave(_code(error.__context__))
        _end(2, error)
    except TrainingError as error:
        _end(1, error)


def _open_closed_streams() -> None:
    """What is written to a stream that the caller has closed goes nowhere; no file gets its number instead."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: that of the stream
            setattr(sys, name, os.fdopen(nowhere, "r" if name == "stdin" else "w"))


@contextlib.contextmanager
def _signals_stop() -> Generator[None, None, None]:
    """A context in which SIGTERM and SIGHUP end the command as Ctrl-C does; a second one ends the process at once.

    A signal that is ignored, as SIGHUP under nohup, stays so. Python takes signals in the main thread alone.
    """
    before = {}

    def stop(number: int, frame: object) -> NoReturn:
        for each in before:
            signal.signal(each, signal.SIG_DFL)
        raise Stopped(number)

    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)):
            if signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _code(stop: KeyboardInterrupt) -> int:
    return 128 + (stop.args[0] if isinstance(stop, Stopped) else int(signal.SIGINT))


def _leave(code: int) -> NoReturn:
    """Exits where nothing can be written any more, not even what is still to be."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    sys.exit(code)


def _is_first() -> bool:
    """Whether this process prints: of those that torchrun starts on a machine, the first does."""
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ["LOCAL_RANK"] == "0"


def _end(code: str | int | None, error: Exception | None = None) -> NoReturn:
    """Says an error in one line, once, and exits.

    When one process ends with an error, torchrun asks the others to end. A silent one therefore waits to be asked, so
    that it does not cut short the one that prints.
    """
    if _is_first():
        if error is not None:
            # a name may hold the end of a line, and other signs that would change the terminal
            message = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in str(error))
            print(f"digitset: {message}", file=sys.stderr)
    elif code:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(code))
        time.sleep(10)
    sys.exit(code)


def _run() -> None:
    if sys.argv[1:] in ([], ["-h"], ["--help"]):
        print(_help())
        sys.exit(0 if sys.argv[1:] else 2)
    if sys.argv[1:] == ["--version"]:
        print(f"digitset {metadata.version('digitset')}")
        sys.exit(0)
    if "" in sys.argv:
        before = sys.argv[sys.argv.index("") - 1]
        raise InputError(f"expected a value after {before}, got an empty one")
    name = sys.argv[1]
    completes = name == "--tyro-print-completion"
    if completes and (*sys.argv[2:], "")[0] not in SHELLS:
        raise InputError(f"{name}: expected one of {', '.join(SHELLS)}")

    if name not in COMMANDS and not name.startswith("-"):
        raise InputError(unknown("command", name, COMMANDS))

    import tyro

    from digitset.cli import model_commands, training_commands

    app = tyro.extras.SubcommandApp()
    for command in COMMANDS:
        app.command(getattr(training_commands, command, None) or getattr(model_commands, command))
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said) if completes else contextlib.nullcontext():
            app.cli(prog="digitset", console_outputs=_is_first())
    except SystemExit:
        if completes:
            print(with_names(said.getvalue()), end="")
        if sys.argv[1:2] == ["train"] and {"-h", "--help"} & {*sys.argv[2:]} and _is_first():
            print(training_commands.options_of_parts())
        raise


def _help() -> str:
    """Help on the command as a whole; tyro takes longer to import than this takes to read."""
    lines = ["usage: digitset COMMAND [OPTIONS]   (digitset COMMAND --help tells its options)", ""]
    lines += ["Train and compare models that read several handwritten digits at once.", ""]
    lines += [f"  {name:10}{summary}" for name, summary in COMMANDS.items()]
    lines += ["", *(f"  {folder:10}{', '.join(registry.names(folder))}" for folder in registry.FOLDERS)]
    lines += ["  or the path of a file NAME.py of your own in the place of any of these"]
    lines += [
        "",
        "  digitset --version",
        "  digitset --tyro-print-completion SHELL   prints completion for bash, zsh or fish",
    ]
    return "\n".join(lines)
