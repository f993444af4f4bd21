"""Completion for shells: tyro's script, to which the names of tasks, models, encoders and trained models are added."""

import re

from digitset import registry
from digitset.errors import InputError

SHELLS = ("bash", "zsh", "fish")
SPEC = re.compile(r"^COMPLETION_SPEC = .*\n", re.MULTILINE)  # the line of tyro's script that says what there is
OPTIONS = {
    "models": ("--model", "--models", "--baseline"),
    "encoders": ("--encoder", "--encoders"),
    "tasks": ("--tasks",),
}
TAKE_TRAINED = ("evaluate", "show", "lengths", "predict", "explain", "demo", "publish", "export")
# Python that goes below that line. It stands in quotes of three shells, so it has no double quote, backslash or dollar.
# The first word after a command is, to tyro's script, a command below it with the same options.
ADDED = """OFFERED = {offered}
FIRST = {first}
for _name, _command in COMPLETION_SPEC['subcommands'].items():
    for _option in _command['options']:
        for _flag in OFFERED.keys() & set(_option['flags']):
            _option.update(type='choice', choices=OFFERED[_flag])
    _below = {{_word: dict(_command, description=_word, subcommands={{}}) for _word in FIRST.get(_name, [])}}
    _command['subcommands'].update(_below)
"""


def with_names(script: str) -> str:
    """A script of tyro that completes names as well, those that there are now.

    Raises InputError if it is not such a script as is known here: then tyro is of another version.
    """
    from digitset.inference import pretrained

    line = SPEC.search(script)
    if line is None:
        raise InputError("this version of tyro writes another script of completion: expected that of tyro 1.0")
    offered = {flag: list(registry.names(folder)) for folder, flags in OPTIONS.items() for flag in flags}
    packaged = pretrained.names()
    trained = [*dict.fromkeys(name.split("/")[0] for name in packaged), *packaged]
    first = {"train": list(registry.names("tasks"))} | dict.fromkeys(TAKE_TRAINED, trained)
    return script[: line.end()] + ADDED.format(offered=offered, first=first) + script[line.end() :]
