"""Errors that one line can explain."""


class InputError(ValueError):
    """A caller's mistake: what was expected, what came, what to do. The command prints it and exits with code 2."""


class Stopped(KeyboardInterrupt):
    """What a signal asked for, where it is not Ctrl-C: its argument is the number, the exit code 128 + that number."""


class TrainingError(RuntimeError):
    """Training cannot go on; the message names the step. The command exits with code 1."""
