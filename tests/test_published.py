"""The published recipe is what it says: its defects are caught by our contract, its windows and restarts are right."""

import csv
import sys
import zlib
from pathlib import Path
from typing import Any

import contract
import published
import published_models
import pytest
import torch

from digitset.data.mnist import Splits
from digitset.rng import generator
from digitset.tasks import load_task

CIRCUMSTANCES = ("seconds", "commit")  # what may differ from one day to the next
NETWORKS = [(task, model) for task in published.TASKS for model in published.MODELS]


@pytest.mark.parametrize(("task", "model"), NETWORKS)
def test_reading_padding_is_caught(task: str, model: str, mnist: Splits) -> None:
    with pytest.raises(AssertionError, match="Tensor-likes are not close"):
        contract.padding_changes_nothing(
            lambda: published_models.build(task, model, seed=0), load_task(task), mnist.train
        )


@pytest.mark.parametrize("task", published.TASKS)
def test_answers_that_depend_on_batch_mates_are_caught(task: str, mnist: Splits) -> None:
    with pytest.raises(AssertionError, match="Tensor-likes are not close"):
        contract.batch_mates_change_nothing(
            lambda: published_models.build(task, "transformer", seed=0), load_task(task), mnist.train
        )


@pytest.mark.parametrize(("task", "items"), [("sum", 59_990), ("contains", 59_989)])
def test_windows_follow_the_rule(task: str, items: int) -> None:
    train, test = published_models.all_digits()
    run = published.cell(task, "mlp", 0, train, test)
    assert (len(run.train.index), len(run.test.index)) == (items, items - 50_000)
    assert run.steps * 50 == 93_750
    anchored = int(task == "contains")
    for item in (0, 1, 31, 54_995, items - 1):
        length = zlib.crc32(str(item).encode()) % 10 + 1
        batch = published_models.windows(run.train, torch.tensor([item, 7]))
        shown = batch.images[batch.index[0, batch.mask[0]]]
        assert torch.equal(shown, train.images[item + anchored : item + anchored + length])
        if batch.anchor is not None:
            assert torch.equal(batch.images[batch.anchor[0]], train.images[item])


def test_padding_is_grey_and_as_long_as_the_batch(mnist: Splits) -> None:
    """Against the recipe done plainly: every place of a batch is encoded, and padding is the zero of -1..1."""
    digits = mnist.test
    for model in published.MODELS:
        network = published_models.build("sum", model, seed=0)
        run = published.cell("sum", model, 0, digits, digits)
        items = (run.train.lengths <= 4).nonzero()[:4, 0]
        longest = 10 if model == "mlp" else int(run.train.lengths[items].max())
        places = torch.zeros(4, longest, 1, 28, 28)
        for row, item in enumerate(items.tolist()):
            length = int(run.train.lengths[item])
            places[row, :length, 0] = (digits.images[item : item + length].float() / 255 - 0.5) / 0.5
        tokens = network.encoder.get_submodule("layers")(places.flatten(0, 1)).unflatten(0, (4, longest))
        answers = network.model(tokens, torch.ones(4, longest, dtype=torch.bool), None)[:, 0]
        batch = published_models.windows(run.train, items)
        vectors = network.encoder(published_models.with_grey(batch.images[:, None].float() / 255))
        loss, _ = published_models.losses(load_task("sum"), network, vectors, batch)
        target = (batch.digits * batch.mask).sum(dim=1)
        torch.testing.assert_close(loss, (answers - target).square(), rtol=1e-4, atol=1e-3)


def test_augmentation_mirrors_half_and_turns_little(mnist: Splits) -> None:
    images = mnist.train.images[:400]
    made = published_models.augmented(images, generator(0, "test"))[:, 0]
    plain = images.float() / 255
    straight, mirrored = ((made - other).abs().mean(dim=(1, 2)) for other in (plain, plain.flip(2)))
    assert 150 < int((mirrored < straight).sum()) < 250
    assert torch.minimum(straight, mirrored).mean() < 0.5 * (plain - plain.flip(2)).abs().mean()
    assert set(made.unique().tolist()) <= set(plain.unique().tolist())  # the nearest pixel, nothing between


def table(out: Path) -> list[dict[str, str]]:
    with out.open(newline="") as file:
        rows = csv.DictReader(file)
        return [{name: value for name, value in row.items() if name not in CIRCUMSTANCES} for row in rows]


def test_a_stopped_run_goes_on_as_if_it_had_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(name: str, epochs: int, tasks: tuple[str, ...] = ("sum",)) -> list[dict[str, str]]:
        out = tmp_path / f"{name}.csv"
        published.main(tasks, ("transformer",), epochs, images=80, out=out, runs=tmp_path / name)
        return table(out)

    whole = run("whole", 3)
    assert [row["epoch"] for row in whole] == ["1", "2", "3"]

    calls = []

    def killed(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:  # epoch 2 is trained and not yet scored
            raise KeyboardInterrupt
        return published_models.score(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(published, "score", killed)
        with pytest.raises(KeyboardInterrupt):
            run("stopped", 3)
    assert table(tmp_path / "stopped.csv") == whole[:1]
    assert run("stopped", 3) == whole

    monkeypatch.setattr(published, "train_epoch", None)  # what is there is not made again
    assert run("stopped", 3) == whole
    (tmp_path / "stopped.csv").unlink()
    assert run("stopped", 3) == whole


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tasks", "sums"], "--tasks: unknown 'sums': expected some of sum, contains"),
        (["--epochs", "0"], "--epochs: expected at least 1, got 0"),
        (["--images", "11"], "--images: expected at least 12, got 11"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["published.py", *arguments])
    with pytest.raises(SystemExit) as stopped:
        published.start(published.main)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.strip() == said
