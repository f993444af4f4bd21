"""The one error that means: the person who called made a mistake that one line can explain."""


class InputError(ValueError):
    """What was expected, what came, what to do. The command prints it as one line and exits with code 2."""
