"""Several processes train one run: real ones, started by torchrun. They share the images and end with the same bits.

One launch does most of the work (`_worker`, which torchrun runs in each process), because starting processes takes
longer than what they do.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from digitset.data.mnist import Splits
from digitset.data.sequences import Rank, sample
from digitset.errors import InputError, TrainingError
from digitset.network import Experiment
from digitset.run import Run
from digitset.run_folder import RunFolder
from digitset.training import distributed, loop
from digitset.training.loop import State, TrainingSet, train

PROCESSES = 3  # of two, a sum has the same bits in either order

# Batch normalisation, dropout and averaged weights: all that could differ between processes or after a stop.
RUN = Run(
    task="contains",
    steps=14,
    images_per_step=70,
    sequences_per_step=24,
    validate_every=7,
    checkpoint_every=3,
    encoder_options={"channels": 16},
    model_options={"dropout": 0.1},
    ema_decay=0.9,
    precision="float32",
    device="cpu",  # several processes need as many GPUs
)
# Every image is a sequence, as it is: then the parts of a pool have the mean gradient of the whole, but for rounding.
CURVE = Run(
    *("classify", "mlp", "lenet"),
    steps=60,
    images_per_step=126,
    sequences_per_step=126,
    augmentation_strength=0.0,
    validate_every=60,
    precision="float32",
    device="cpu",  # several processes need as many GPUs
)
LONG = Run(
    "sum", "exact", "lenet", steps=40, images_per_step=60, sequences_per_step=20, precision="float32", device="cpu"
)


def torchrun(*arguments: str | Path) -> subprocess.Popen[str]:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(PROCESSES)]
    command = [*launch, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end_of(launch: subprocess.Popen[str]) -> tuple[str, str]:
    """What was written to stdout and stderr. Processes that wait for one another in vain are ended."""
    try:
        return launch.communicate(timeout=150)
    except subprocess.TimeoutExpired:
        launch.terminate()  # torchrun then ends its processes; a kill would leave them
        launch.communicate()
        raise


def digitset_train(run: Run, out: Path, *more: str) -> subprocess.Popen[str]:
    """The command that trains a run in several processes."""
    arguments = ["-m", "digitset", "train", run.task, "--model", run.model, "--encoder", run.encoder]
    for name in ("steps", "images_per_step", "sequences_per_step", "precision"):
        arguments += [f"--{name.replace('_', '-')}", str(getattr(run, name))]
    return torchrun(*arguments, "--out", out, *more)


def same_bits(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def without_times(run_folder: RunFolder) -> list[dict[str, Any]]:
    times = ("seconds", "images_per_second")
    return [{name: value for name, value in line.items() if name not in times} for line in run_folder.metrics()]


def message(call: Callable[[], object]) -> str:
    try:
        call()
    except (InputError, TrainingError, KeyboardInterrupt) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def _worker(out: Path) -> None:
    """What each process does; what it saw goes to `out`, in files with its rank in their names."""
    undisturbed, states = loop.training_step, list[State]()

    def watched(experiment: Experiment, state: State, data: TrainingSet) -> None:
        undisturbed(experiment, state, data)
        states.append(state)

    def stopping(experiment: Experiment, state: State, data: TrainingSet) -> None:
        undisturbed(experiment, state, data)
        if state.step == 5 and rank.index == 1:
            signal.raise_signal(signal.SIGINT)

    with distributed.joined() as rank:
        loop.training_step = watched
        train(RUN, out / "straight")
        evaluated = dict(states[-1].evaluated().state_dict())
        torch.save((evaluated, dict(states[-1].network.named_parameters())), out / f"weights{rank.index}")

        loop.training_step = stopping
        errors = {"stopped": message(lambda: train(RUN, out / "resumed"))}
        loop.training_step = undisturbed
        if rank.first:
            shutil.copytree(out / "resumed", out / "left")
        train(RUN, out / "resumed", resume=True)

        train(CURVE, out / "curve")
        train(LONG, out / "long")
        other_data = replace(RUN, data=out / "nowhere") if rank.index == 1 else RUN
        errors["data"] = message(lambda: train(other_data, out / "never"))
        errors["command"] = message(lambda: train(replace(RUN, steps=14 + rank.index), out / "never"))
        diverging = replace(CURVE, learning_rate=1e30)
        errors["diverging"] = message(lambda: train(diverging, out / "diverging"))
    (out / f"errors{rank.index}.json").write_text(json.dumps(errors))


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("launched")
    launch = torchrun(__file__, out)
    _, errors = end_of(launch)
    assert launch.returncode == 0, errors
    return out


def errors_of(launched: Path, name: str) -> list[str]:
    return [json.loads((launched / f"errors{rank}.json").read_text())[name] for rank in range(PROCESSES)]


@pytest.mark.parametrize("count", [2, 3])
def test_the_parts_of_a_pool_are_the_pool(mnist: Splits, count: int) -> None:
    whole = sample(mnist.train, 96, 120, (1, 5), True, seed=1, step=700)
    parts = [sample(mnist.train, 96, 120, (1, 5), True, 1, 700, Rank(index, count)) for index in range(count)]
    assert torch.equal(torch.cat([part.images for part in parts]), whole.images)
    assert torch.equal(torch.cat([part.labels for part in parts]), whole.labels)
    assert abs(sum(len(part.index) for part in parts) - len(whole.index)) < 10
    assert len({tuple(part.index.flatten().tolist()) for part in parts}) == count  # not the same rows of each
    assert torch.equal(sample(mnist.train, 96, 120, (1, 5), True, 1, 700, Rank(0, 1)).index, whole.index)


def test_several_processes_learn_what_one_learns(launched: Path, tmp_path: Path) -> None:
    """The mean gradient is the same but for rounding, so the curves are: far closer than those of two seeds."""

    def losses(run_folder: RunFolder) -> torch.Tensor:
        return torch.tensor([line["loss"] for line in run_folder.metrics() if line["split"] == "train"])

    alone = losses(train(CURVE, tmp_path / "alone"))
    other = losses(train(replace(CURVE, seed=1), tmp_path / "other"))
    together = losses(RunFolder(launched / "curve"))
    assert alone[-1] < alone[0] / 3
    assert (together / alone - 1).abs().max() < 1e-3
    assert (other / alone - 1).abs().max() > 1e-2


def test_all_processes_end_with_the_same_weights(launched: Path) -> None:
    (evaluated, trained), *others = (torch.load(launched / f"weights{rank}") for rank in range(PROCESSES))
    for others_evaluated, others_trained in others:
        assert same_bits(trained, others_trained)
        assert same_bits(evaluated, others_evaluated)
    assert same_bits(evaluated, RunFolder(launched / "straight").weights())


def test_ctrl_c_in_one_process_stops_all_and_goes_on_bit_for_bit(launched: Path) -> None:
    assert errors_of(launched, "stopped") == ["KeyboardInterrupt: "] * PROCESSES
    straight, resumed = RunFolder(launched / "straight"), RunFolder(launched / "resumed")
    assert same_bits(straight.weights(), resumed.weights())
    assert without_times(straight) == without_times(resumed)


def test_going_on_with_another_number_of_processes_is_noted(launched: Path) -> None:
    assert RunFolder(launched / "left").load_checkpoint()["step"] == 5
    notes = []
    train(RUN, launched / "left", resume=True, callbacks=[lambda event: notes.append(event.get("note"))])
    assert f"processes {PROCESSES} -> 1" in notes[0]


def test_what_one_process_finds_wrong_all_raise(launched: Path) -> None:
    for name, words in (("data", "no such folder"), ("command", "the command and the data to be the same")):
        first, *others = errors_of(launched, name)
        assert all(other == first for other in others)
        assert first.startswith("InputError: ")
        assert words in first
    assert not (launched / "never").exists()


def test_a_loss_that_is_not_finite_stops_all(launched: Path) -> None:
    first, *others = errors_of(launched, "diverging")
    assert all(other == first for other in others)
    assert first.startswith("TrainingError: step ")


def stopped_at(step: int, run_folder: RunFolder, number: signal.Signals, everywhere: bool, *more: str) -> None:
    """Trains until a step is logged; then torchrun gets a signal and, if `everywhere`, each of its processes too."""
    launch = digitset_train(LONG, run_folder.path, *more)
    while run_folder.last_step() < step:
        assert launch.poll() is None
        time.sleep(0.01)
    command = ["ps", "-o", "pid=", "--ppid", str(launch.pid)]
    children = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert len(children) >= PROCESSES
    for process in [*map(int, children), launch.pid] if everywhere else [launch.pid]:
        os.kill(process, number)
    output, _ = end_of(launch)
    assert output.count("--resume") == 1
    assert step <= run_folder.load_checkpoint()["step"] < step + 10


def test_signals_at_torchrun_leave_a_run_that_goes_on_bit_for_bit(launched: Path, tmp_path: Path) -> None:
    """A cluster sends SIGTERM to all processes of a job, and torchrun sends it once more to those that it started."""
    run_folder = RunFolder(tmp_path / "run")
    stopped_at(10, run_folder, signal.SIGTERM, True)
    stopped_at(20, run_folder, signal.SIGINT, False, "--resume")
    launch = digitset_train(LONG, run_folder.path, "--resume")
    _, errors = end_of(launch)
    assert launch.returncode == 0, errors
    assert same_bits(RunFolder(launched / "long").weights(), run_folder.weights())
    assert without_times(RunFolder(launched / "long")) == without_times(run_folder)


def test_a_mistake_is_one_line_and_exit_code_2_in_all(tmp_path: Path) -> None:
    _, errors = end_of(digitset_train(replace(LONG, images_per_step=29), tmp_path / "run"))
    lines = [line for line in errors.splitlines() if line.startswith("digitset:")]
    assert lines == [
        "digitset: --images-per-step: expected at least 30 images, for the longest sequence and its anchor in each of "
        "3 processes, got 29"
    ]
    codes = [line.split(":")[1].split()[0] for line in errors.splitlines() if "exitcode  :" in line]
    assert codes == ["2"] * PROCESSES
    assert not (tmp_path / "run").exists()


if __name__ == "__main__":
    _worker(Path(sys.argv[1]))
