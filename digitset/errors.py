"""Errors that one line can explain."""

from collections.abc import Iterable


class InputError(ValueError):
    """A caller's mistake: what was expected, what came, what to do. The command prints it and exits with code 2."""


class TrainingError(RuntimeError):
    """Training cannot go on; the message names the step. The command exits with code 1."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """The beginning of a message about a name that there is not, with the known one that is most like it."""
    from difflib import get_close_matches  # here, since it is for mistakes alone

    known = list(known)
    close = get_close_matches(name, known, 1)
    meant = f"did you mean '{close[0]}'? " if close else ""
    return f"unknown {kind} '{name}': {meant}expected one of {', '.join(known) or 'none'}"
