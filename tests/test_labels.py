"""benchmarks/labels.py and peers.py: what a cell is, how it stops, and that a row is of the run that was taken."""

from dataclasses import replace
from pathlib import Path

import labels
import peers
import pytest
import torch

from digitset.bench.tables import CLASSIFIER_RULE, LabelRow, cell, read_csv, write_csv
from digitset.data.mnist import Splits
from digitset.network import Experiment
from digitset.run import Run
from digitset.run_folder import RunFolder


@pytest.mark.parametrize("task", labels.TASKS)
@pytest.mark.parametrize("count", labels.COUNTS)
def test_a_cell_passes_over_all_of_its_labels(task: str, count: int) -> None:
    short, whole = labels.two_runs(task, "exact", count, 0, 2e-3)
    assert whole.steps * whole.sequences_per_step >= count
    assert short.steps == whole.steps // labels.SHORT
    assert cell(short) != cell(whole)
    assert {run.training_sequences for run in (short, whole)} == {count}


def quick(run: Run) -> Run:
    return replace(run, steps=run.steps // 250, validate_every=1, encoder_options={"channels": 8}, precision="float32")


def test_validation_chooses_and_test_images_do_not(tmp_path: Path) -> None:
    """A run of four steps and one of one: the row is of the one that wins on validation images, whichever it is."""
    runs = [quick(run) for run in labels.two_runs("contains", "exact", 100, 0, 4e-3)]
    pairs = [(run, tmp_path / str(run.steps)) for run in reversed(runs)]
    (row,) = labels.make(*pairs[0], *pairs[1:])
    values = {run.steps: labels.validation(RunFolder(path)) for run, path in pairs}
    assert row.steps == max(values, key=values.__getitem__)
    assert (row.validation, row.validation_other) == (max(values.values()), min(values.values()))
    assert (tmp_path / str(row.steps) / "scores.json").exists()
    (other,) = values.keys() - {row.steps}
    assert not (tmp_path / str(other) / "scores.json").exists()
    write_csv(tmp_path / "labels.csv", [row], LabelRow)
    (again,) = read_csv(tmp_path / "labels.csv", LabelRow)
    assert again.accuracy == pytest.approx(row.accuracy, rel=1e-5)


def test_a_classifier_stands_for_all_tasks(tmp_path: Path) -> None:
    runs = [quick(run) for run in labels.two_runs(*labels.CLASSIFIER, 100, 0, 4e-3)]
    rows = labels.make(runs[0], tmp_path / "run")
    assert [(row.task, row.model, row.labels) for row in rows] == [
        (task, CLASSIFIER_RULE, 100) for task in labels.TASKS
    ]
    assert len({row.cell for row in rows}) == 1


@pytest.mark.parametrize("name", peers.SETTINGS)
def test_a_protocol_uses_each_image_once(name: str, mnist: Splits) -> None:
    for run in peers.SETTINGS[name].runs:
        experiment = Experiment.of(run)
        data = peers.TrainingSet.of(experiment, mnist.train)
        assert data.fixed is not None
        assert data.note() == ""  # no two sequences share an image
        assert len(data.fixed.index) == run.training_sequences


def test_a_row_that_is_made_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [
        peers.PeerRow(name, peers.name_of(run), 0, strength, accuracy=0.5, differs="of an older text")
        for name, setting in peers.SETTINGS.items()
        for run in setting.runs
        for strength in peers.AUGMENTATIONS
    ]
    out = tmp_path / "peers.csv"
    write_csv(out, made, peers.PeerRow)
    asked: list[object] = []
    monkeypatch.setattr(peers, "in_processes", lambda make, cells, jobs: asked.extend(cells) or [])
    peers.main(seeds=1, out=out)
    assert asked == []
    peers.main(seeds=2, out=out)
    assert len(asked) == len(made)


def test_a_cell_of_a_protocol_gives_its_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    setting = peers.SETTINGS["addition-4"]
    run = replace(setting.runs[0], steps=3, encoder_options={"channels": 8}, precision="float32")
    threads = torch.get_num_threads()
    row = peers.make(run, peers.RUNS / "addition-4")
    assert torch.get_num_threads() == threads
    assert (row.setting, row.who, row.sequences, row.train_images) == ("addition-4", "exact", 6_875, 3 * 128)
    assert row.accuracy is not None
    assert row.digits is not None
    assert 0 <= row.accuracy <= row.digits <= 1
    write_csv(tmp_path / "peers.csv", [*peers.PUBLISHED, row], peers.PeerRow)
    assert read_csv(tmp_path / "peers.csv", peers.PeerRow)[:-1] == peers.PUBLISHED
