"""Errors that one line can explain."""

from collections.abc import Iterable, Sequence


class InputError(ValueError):
    """A caller's mistake: what was expected, what came, what to do. The command prints it and exits with code 2."""


class Stopped(KeyboardInterrupt):
    """What a signal asked for, where it is not Ctrl-C: its argument is the number, the exit code 128 + that number."""


class TrainingError(RuntimeError):
    """Training cannot go on; the message names the step. The command exits with code 1."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """The beginning of a message about a name that there is not, with the known one that is most like it."""
    known = list(known)
    return f"unknown {kind} '{name}': {meant(name, known)}expected one of {', '.join(known) or 'none'}"


def some_of(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are: `a, b and 3 more`."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def meant(name: str, known: Iterable[str]) -> str:
    """A question after the known name that is most like one that is not known; empty if none is like it."""
    from difflib import get_close_matches  # here, since it is for mistakes alone

    close = get_close_matches(name, list(known), 1)
    return f"did you mean '{close[0]}'? " if close else ""
