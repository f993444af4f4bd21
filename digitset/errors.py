"""Errors that one line can explain."""


class InputError(ValueError):
    """A caller's mistake: what was expected, what came, what to do. The command prints it and exits with code 2."""


class TrainingError(RuntimeError):
    """Training cannot go on; the message names the step. The command exits with code 1."""
