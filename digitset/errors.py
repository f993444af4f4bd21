"""Errors that one line can explain."""


class InputError(ValueError):
    """What was expected, what came, what to do. The command prints it as one line and exits with code 2."""


class TrainingError(RuntimeError):
    """Training cannot go on; the message names the step. The command exits with code 1."""
