"""TensorBoard shows the numbers of metrics.jsonl, each once, also of a run that was killed and resumed."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from digitset.data.mnist import Digits, Splits
from digitset.errors import InputError
from digitset.run import Run
from digitset.run_folder import RunFolder
from digitset.training.loop import Event, train

event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

RUN = Run(
    "sum", "mlp", "lenet", steps=40, images_per_step=32, sequences_per_step=16, validate_every=20, checkpoint_every=15
)


@pytest.fixture(scope="module")
def few(mnist: Splits) -> Splits:
    parts = [Digits(part.images[:200], part.labels[:200]) for part in (mnist.train, mnist.val, mnist.test)]
    return Splits(*parts, checksum="few")


def shown(folder: Path) -> list[tuple[str, int, float]]:
    """What TensorBoard shows: name, step and value of each scalar."""
    events = event_accumulator.EventAccumulator(str(folder)).Reload()
    return sorted((tag, each.step, each.value) for tag in events.Tags()["scalars"] for each in events.Scalars(tag))


def written(folder: Path) -> list[Any]:
    """The same of the metrics, to the precision of float32."""
    lines = [line for line in RunFolder(folder).metrics() if "split" in line]
    scores = [(line, name) for line in lines for name in line if name not in ("step", "split")]
    return sorted((f"{line['split']}/{name}", line["step"], pytest.approx(line[name])) for line, name in scores)


def trained(folder: Path, splits: Splits, crash_at: int = -1, resume: bool = False, run: Run = RUN) -> None:
    from digitset.training.tensorboard import EventFile

    def crash(event: Event) -> None:
        if event["step"] == crash_at:
            raise RuntimeError("crash")

    with EventFile(folder) as file:
        train(run, folder, resume, [file.listen, crash], splits, progress=False)


def test_the_numbers_are_those_of_the_metrics(tmp_path: Path, few: Splits) -> None:
    trained(tmp_path / "run", few)
    assert {name for name, *_ in shown(tmp_path / "run")} >= {"train/loss", "train/learning_rate", "val/accuracy"}
    assert shown(tmp_path / "run") == written(tmp_path / "run")


@pytest.mark.parametrize("crash_at", [12, 24])
def test_a_resumed_run_shows_each_step_once(tmp_path: Path, few: Splits, crash_at: int) -> None:
    """Steps since the last checkpoint, of which there is none at step 12, are done again."""
    with pytest.raises(RuntimeError, match="crash"):
        trained(tmp_path / "run", few, crash_at)
    assert shown(tmp_path / "run") == written(tmp_path / "run") != []
    trained(tmp_path / "run", few, resume=True)
    assert len(list((tmp_path / "run").glob("events.out.tfevents.*"))) == 2
    assert shown(tmp_path / "run") == written(tmp_path / "run")


def test_a_run_that_began_without_has_its_earlier_steps(tmp_path: Path, few: Splits) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(RUN, tmp_path / "run", splits=few, stop=lambda: (tmp_path / "run" / "metrics.jsonl").exists())
    trained(tmp_path / "run", few, resume=True)
    assert shown(tmp_path / "run") == written(tmp_path / "run")
    assert min(step for _, step, _ in shown(tmp_path / "run")) == 10


def test_the_bits_are_those_without(tmp_path: Path, few: Splits) -> None:
    run = replace(RUN, steps=12)
    trained(tmp_path / "with", few, run=run)
    without = train(run, tmp_path / "without", splits=few, progress=False)
    files = [folder / "model.safetensors" for folder in (tmp_path / "with", without.path)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "digitset", "train", "sum", "--model", "mlp", "--encoder", "lenet", "--steps", "4"]
    command += ["--images-per-step", "32", "--sequences-per-step", "16", "--out", str(tmp_path / "run")]
    subprocess.run([*command, "--tensorboard"], capture_output=True, text=True, check=True)
    assert shown(tmp_path / "run") == written(tmp_path / "run") != []


def test_without_tensorboard_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from digitset.training.tensorboard import EventFile

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"install digitset\[tensorboard\]"):
        EventFile(tmp_path)
