"""A run becomes a folder that anybody can load, from the disk, the package or the Hub, with the same answers."""

import json
import math
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tyro
from conftest import without_checksums
from huggingface_hub import ModelCard, ModelCardData, constants, metadata_eval_result

import digitset
from digitset import InputError, Run, recipes
from digitset.data.mnist import load_data
from digitset.evaluation.evaluate import evaluate, version
from digitset.inference import hub, pretrained
from digitset.inference.publish import publish
from digitset.run_folder import PUBLISHED, RunFolder

IMAGES = load_data().val.images.numpy()[:6]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = Run("sum", "exact", encoder="lenet", steps=3, images_per_step=32, sequences_per_step=16)
    folder = digitset.train(run, tmp_path_factory.mktemp("runs") / "run").path
    predictor = digitset.load(folder)
    report = evaluate(predictor.network, predictor.experiment, load_data())
    RunFolder(folder).save_scores(report, version(predictor.task))
    return folder


@pytest.fixture(scope="module")
def published(trained: Path) -> Path:
    out = trained.parent / "published"
    publish(trained, out)
    return out


def test_the_folder_is_whole_and_answers_like_the_run(trained: Path, published: Path) -> None:
    assert sorted(path.name for path in published.iterdir()) == sorted(PUBLISHED)
    before, after = digitset.load(trained), digitset.load(published)
    np.testing.assert_array_equal(before.predict([IMAGES]), after.predict([IMAGES]))
    assert RunFolder(published).scores(version(after.task)) == RunFolder(trained).scores(version(before.task))


def test_half_of_the_size_is_another_model_with_scores_of_its_own(trained: Path, tmp_path: Path) -> None:
    publish(trained, tmp_path / "half", half=True)
    before, after = digitset.load(trained), digitset.load(tmp_path / "half")
    np.testing.assert_allclose(after.predict([IMAGES]), before.predict([IMAGES]), atol=1e-2)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (trained, tmp_path / "half")]
    assert sizes[1] < 0.6 * sizes[0]
    half = RunFolder(tmp_path / "half")
    kept = half.scores(version(after.task))
    assert kept is not None
    assert kept == evaluate(after.network, after.experiment, load_data())
    assert half.summary() == RunFolder(trained).summary()
    assert "weights in float16 and float32" in (tmp_path / "half" / "README.md").read_text()


def test_the_card_says_what_was_measured(trained: Path, published: Path) -> None:
    card = (published / "README.md").read_text()
    assert card.startswith("---\nlicense: mit\n")
    scores = json.loads((trained / "scores.json").read_text())["sets"]["published"]["scores"]
    assert f"{scores['accuracy']:.4f}" in card
    assert f"mse {scores['mse']:.4f}" in card
    assert f"coverage90 {scores['coverage90']:.4f}" in card
    assert RunFolder(trained).run().command() in card
    assert str(published) not in card


@pytest.mark.parametrize("name", ["classify/mlp", "contains/transformer", "sum"])
def test_the_hub_reads_the_card(name: str, tmp_path: Path) -> None:
    """By the Hub's own library, which refuses a model index that is not one."""
    out = tmp_path / "published"
    predictor = publish(name, out)
    title = f"{predictor.run.task}/{predictor.run.model}-{predictor.run.encoder}"
    data = ModelCard.load(out / "README.md").data
    assert isinstance(data, ModelCardData)
    assert data.model_name == title
    assert data.pipeline_tag == ("image-classification" if predictor.task.single_image else "other")
    assert data.datasets == ["ylecun/mnist"]
    assert data.tags == ["mnist", "set-aggregation", predictor.run.task]
    scores = RunFolder(out).scores(version(predictor.task))
    assert scores is not None
    assert data.eval_results is not None
    found = {(result.dataset_config, result.metric_type): result.metric_value for result in data.eval_results}
    expected = {
        (of_set, metric): pytest.approx(value, abs=5.1e-5)
        for of_set, scored in scores.items()
        for metric, value in scored.scores.items()
        if math.isfinite(value)
    }
    assert found == expected
    first = next(iter(scores))
    made = metadata_eval_result(
        model_pretty_name=title,
        task_pretty_name=predictor.task.question,
        task_id=str(data.pipeline_tag),
        metrics_pretty_name="accuracy",
        metrics_id="accuracy",
        metrics_value=found[first, "accuracy"],
        dataset_pretty_name="MNIST",
        dataset_id="ylecun/mnist",
        dataset_config=first,
        dataset_split="test",
    )["model-index"][0]
    there = data.to_dict()["model-index"][0]
    assert there["name"] == made["name"]
    assert {name: there["results"][0][name] for name in ("task", "dataset")} == {
        name: made["results"][0][name] for name in ("task", "dataset")
    }
    assert {**there["results"][0]["metrics"][0], "verified": False} == made["results"][0]["metrics"][0]


@pytest.mark.parametrize(
    "run", [*recipes.PACKAGED.values(), Run("sum", lengths=(2, 5), device="cpu", data=Path("x y"))]
)
def test_the_command_of_a_run_is_that_run(run: Run) -> None:
    words = shlex.split(run.command())
    assert words[:2] == ["digitset", "train"]
    assert tyro.cli(Run, args=words[2:]) == run


def test_what_is_not_published(trained: Path, published: Path, tmp_path: Path) -> None:
    unscored = tmp_path / "unscored"
    shutil.copytree(trained, unscored)
    (unscored / "scores.json").unlink()
    with pytest.raises(InputError, match="first: digitset evaluate"):
        publish(unscored, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    for taken in (other, other / "thesis.txt"):
        with pytest.raises(InputError, match="expected no folder"):
            publish(trained, taken)
    with pytest.raises(InputError, match="choose another"):
        publish(published, published)
    publish(trained, published)  # again: an earlier version is replaced


def test_a_run_is_not_overwritten(trained: Path, published: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(trained, mine)
    before = {path.name: path.read_bytes() for path in mine.iterdir()}
    with pytest.raises(InputError, match="choose another"):
        publish(published, mine)
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == before


def test_names_that_are_no_text_and_links_that_lead_nowhere(trained: Path, tmp_path: Path) -> None:
    publish(trained, tmp_path / "\udcff")
    assert 'digitset.load("\\udcff")' in (tmp_path / "\udcff/README.md").read_text()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="loop"):
        publish(trained, tmp_path / "loop/model")


def test_other_images_are_not_called_mnist(trained: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(trained, other)
    facts = json.loads((without_checksums(other) / "run.json").read_text())
    facts["run"]["data"] = "/home/somebody/clothes"
    (other / "run.json").write_text(json.dumps(facts | {"data": "0" * 64}))
    publish(other, tmp_path / "out", "hub:somebody/clothes")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "trained on MNIST" not in card
    data = ModelCard(card).data.to_dict()
    assert "datasets" not in data
    assert data["tags"] == ["set-aggregation", "sum"]
    assert {result["dataset"]["name"] for result in data["model-index"][0]["results"]} == {"images of its own"}
    assert "--data clothes" in card
    assert not [path for path in (tmp_path / "out").iterdir() if b"/home/somebody" in path.read_bytes()]
    assert digitset.load(tmp_path / "out").run.data == Path("clothes")
    assert 'digitset.load("hub:somebody/clothes")' in card


def test_a_damaged_copy_is_refused(published: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(published, copy)
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    with pytest.raises(InputError, match="SHA-256"):
        digitset.load(copy)


def test_names_that_lead_nowhere() -> None:
    with pytest.raises(InputError, match="hub:USER/NAME"):
        digitset.load("no_such")


def test_from_the_hub(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Hub's own cache, as a download leaves it, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    cache = tmp_path / "models--somebody--sums"
    shutil.copytree(published, cache / "snapshots" / ("a" * 40))
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("a" * 40)
    np.testing.assert_array_equal(
        digitset.load("hub:somebody/sums").predict([IMAGES]), digitset.load(published).predict([IMAGES])
    )
    with pytest.raises(InputError, match="not to be had from the Hub"):
        digitset.load("hub:somebody/else")
    with pytest.raises(InputError, match="not to be had from the Hub"):
        digitset.load("hub:no name")
    with pytest.raises(InputError, match="not put on the Hub"):
        hub.push(published, "somebody/sums")
    with pytest.raises(InputError, match="expected USER/NAME"):
        hub.push(published, "sums")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")  # where nobody answers
    monkeypatch.setattr(constants, "ENDPOINT", "https://127.0.0.1:1")
    with pytest.raises(InputError, match="not put on the Hub"):
        hub.push(published, "somebody/sums")


@pytest.mark.parametrize("network", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:1"}], ids=str)
def test_a_model_in_the_cache_needs_no_network(published: Path, tmp_path: Path, network: dict[str, str]) -> None:
    """In a process of its own, as a person sets it: offline, or where nobody answers."""
    cache = tmp_path / "hub" / "models--somebody--sums"
    shutil.copytree(published, cache / "snapshots" / ("a" * 40))
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("a" * 40)
    ask = "import digitset, sys; print(repr(digitset.load(sys.argv[1])))"
    environment = os.environ | network | {"HF_HOME": str(tmp_path)}
    command = [sys.executable, "-c", ask, "hub:somebody/sums"]
    said = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (said.returncode, said.stdout) == (0, f"{digitset.load(published)!r}\n"), said.stderr
    command = [sys.executable, "-m", "digitset", "evaluate", "hub:somebody/else"]
    said = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert said.returncode == 2
    assert said.stderr.startswith("digitset: hub:somebody/else: not to be had from the Hub: ")
    assert said.stderr.count("\n") == 1


@pytest.mark.parametrize("name", pretrained.names())
def test_packaged_models_are_those_of_the_recipes(name: str) -> None:
    predictor = digitset.load(name)
    assert predictor.run == (recipes.PACKAGED | recipes.FOR_PICTURES)[name]
    assert predictor.path is not None
    assert (predictor.path / "model.safetensors").stat().st_size < 1.6e6
    assert RunFolder(predictor.path).scores(version(predictor.task)) is not None
    assert digitset.load(name.split("/")[0]).run.task == predictor.run.task
