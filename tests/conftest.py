"""Shapes and types in signatures are checked in every test: the hook must be in place before digitset is imported."""

import json
import os
import re

from jaxtyping import install_import_hook

with install_import_hook("digitset", "beartype.beartype"):
    from digitset import registry
    from digitset.encoders import load_encoder
    from digitset.models import load_model
    from digitset.tasks import load_task

    for _load, _folder in ((load_task, "tasks"), (load_encoder, "encoders"), (load_model, "models")):
        for _name in registry.names(_folder):
            _load(_name)

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from digitset.cli.main import main
from digitset.data.mnist import Splits, load_data

# Two workers on two cores: more threads than one each would only wait for one another.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in the background of a script: processes would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # as under nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@dataclass(frozen=True)
class Outcome:
    """What a command said, and its exit code."""

    code: int
    output: str
    errors: str


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs the command in this process, which spares a new one the seconds of importing torch."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["digitset", *map(str, arguments)])
        code = 0
        capsys.readouterr()
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


def without_checksums(folder: Path) -> Path:
    """Makes the folder of a run what version 0.1 wrote: no checksums, and hashes of the weights alone."""
    for path in folder.glob("*.json"):
        values = json.loads(path.read_text())
        path.write_text(
            json.dumps({name: value for name, value in values.items() if name not in ("checksum", "files")})
        )
    if (lines := folder / "metrics.jsonl").exists():
        lines.write_text(re.sub(r', "check": "\w+"}', "}", lines.read_text()))
    return folder


@pytest.fixture(scope="session")
def mnist() -> Splits:
    """Real MNIST, read once."""
    return load_data()
