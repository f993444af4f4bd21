"""Trained models as a person uses them: pictures on the disk, the command, tables and JSON, figures, an ONNX file."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import digitset
from digitset import InputError
from digitset.cli import model_commands
from digitset.data.mnist import Splits

PLACES = (3, 5, 12, 17)  # of test images


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, mnist: Splits) -> Path:
    """Black ink on white paper, seven times the size of MNIST; `row.png` has all four digits."""
    folder = tmp_path_factory.mktemp("pictures")
    papers = [255 - mnist.test.images[place].numpy() for place in PLACES]
    for name, paper in zip(("a1", "a2", "a10", "a11"), papers, strict=True):
        Image.fromarray(paper).resize((196, 196)).save(folder / f"{name}.png")
    (folder / "row").mkdir()
    Image.fromarray(np.concatenate(papers, axis=1)).resize((784, 196)).save(folder / "row" / "row.png")
    return folder


def digits(mnist: Splits) -> list[int]:
    return mnist.test.labels[list(PLACES)].tolist()


def test_a_table_of_a_folder(folder: Path, mnist: Splits, capsys: pytest.CaptureFixture[str]) -> None:
    model_commands.predict("sum", (str(folder),))
    said = capsys.readouterr().out
    assert said.splitlines()[-1].startswith(f"{sum(digits(mnist))}, probability ")
    assert said.index("a2.png") < said.index("a10.png")


def test_json_of_one_picture_of_several_digits(folder: Path, mnist: Splits, tmp_path: Path) -> None:
    row, figure = folder / "row" / "row.png", tmp_path / "steps.png"
    command = [sys.executable, "-m", "digitset", "predict", "sum", str(row), "--split", "--json", "--show", str(figure)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    (answer,) = json.loads(result.stdout)["answers"]
    assert answer["answer"] == sum(digits(mnist))
    assert answer["interval"][0] <= answer["answer"] <= answer["interval"][1]
    assert [part["alone"] for part in answer["pictures"]] == digits(mnist)
    assert [part["adds"] for part in answer["pictures"]] == digits(mnist)
    assert [part["name"] for part in answer["pictures"]] == [f"{row} {place}" for place in (1, 2, 3, 4)]
    with Image.open(figure) as drawn:
        assert drawn.size[1] > 300
    assert result.stderr == f"digitset: what was found on each picture: {figure}\n"


def test_the_fate_of_every_picture_is_told(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is left out of a folder; what cannot be read, while the others are; and code 2 in the end."""
    for name in ("a1.png", "a2.png"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "a3.png").write_text("not a picture")
    Image.new("L", (50, 50), 255).save(tmp_path / "a4.png")
    for name in ("IMG_1.mov", "b.txt", "c.txt", "d.txt"):
        (tmp_path / name).touch()
    (tmp_path / "more").mkdir()
    for json_too in (False, True):
        with pytest.raises(InputError, match="2 pictures were refused: the answer is about the others"):
            model_commands.predict("classify", (str(tmp_path),), as_json=json_too)
        said = capsys.readouterr()
        assert said.err.count("\n") == 3
        assert f"{tmp_path}: left out b.txt, c.txt, d.txt and 2 more: " in said.err
        assert f"{tmp_path / 'a3.png'}: expected a picture" in said.err
        assert f"{tmp_path / 'a4.png'}: expected ink on paper" in said.err
        assert "a1.png" in said.out
        assert "a3.png" not in said.out.partition('"refused"')[0]
    told = json.loads(said.out)
    assert (len(told["answers"]), len(told["notes"]), len(told["refused"])) == (2, 1, 2)
    alone, anchored = (str(tmp_path / "a3.png"),), (str(tmp_path / "a1.png"),)
    for model, files, anchor in (("classify", alone, None), ("contains", anchored, alone[0])):
        with pytest.raises(InputError, match=r"a3\.png: expected a picture"):
            model_commands.predict(model, files, anchor, as_json=True)
        told = json.loads(capsys.readouterr().out)
        assert (told["answers"], len(told["refused"])) == ([], 1)


def test_each_picture_is_classified_by_itself(folder: Path, mnist: Splits, capsys: pytest.CaptureFixture[str]) -> None:
    model_commands.predict("classify", (str(folder),))
    lines = capsys.readouterr().out.splitlines()
    assert [int(line.split(": ")[1][0]) for line in lines] == digits(mnist)


def test_an_anchor(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model_commands.predict("contains", (str(folder),), anchor=str(folder / "a10.png"))
    assert capsys.readouterr().out.splitlines()[-1].startswith("yes, ")
    model_commands.explain(
        "contains/transformer", (str(folder / "a1.png"),), str(folder / "a2.png"), out=tmp_path / "why.svg"
    )
    assert "no, probability of yes" in capsys.readouterr().out
    assert (tmp_path / "why.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize("model", ["contains/transformer", "sum/exact"])
def test_an_onnx_file_says_the_same(
    model: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    anchor = str(folder / "a1.png") if model.startswith("contains") else None
    model_commands.predict(model, (str(folder),), anchor=anchor, as_json=True)
    ours = json.loads(capsys.readouterr().out)["answers"][0]
    path = tmp_path / "model.onnx"
    command = [sys.executable, "-m", "digitset", "export", model, str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.search(r"differs from torch by at most \d\S* on sequences of 1, 3, 10, 40 test images", said.stdout)
    assert said.stderr == ""
    model_commands.predict(str(path), (str(folder),), anchor=anchor, onnx=True, as_json=True)
    theirs = json.loads(capsys.readouterr().out)["answers"][0]
    for name in ("answer", "certainty"):
        assert theirs[name] == pytest.approx(ours[name], abs=1e-4)
    assert theirs["interval"] == ours["interval"]
    assert (theirs["interval"] is None) == model.startswith("contains")
    for ours_part, theirs_part in zip(ours["pictures"], theirs["pictures"], strict=True):
        assert theirs_part["alone"] == pytest.approx(ours_part["alone"], abs=1e-4)
        assert theirs_part["adds"] == pytest.approx(ours_part["adds"], abs=1e-4)


def test_several_digits_without_split_are_told_of(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    odd = tmp_path / "row[old].png"
    odd.write_bytes((folder / "row" / "row.png").read_bytes())
    model_commands.predict("sum", (str(odd),))
    said = capsys.readouterr()
    assert "there may be 4 on it" in said.err
    assert "row[old].png: " in said.out
    model_commands.predict("classify", (str(odd),), as_json=True)
    (answer,) = json.loads(capsys.readouterr().out)["answers"]
    assert answer["certainty"] <= answer["pictures"][0]["one_digit"] <= 1 / 4
    model_commands.predict("sum", (str(odd),), split=True)
    said = capsys.readouterr()
    assert said.err == ""
    model_commands.predict("contains", (str(folder / "a1.png"),), anchor=str(odd))
    assert "there may be 4 on it; an anchor is one" in capsys.readouterr().err
    assert "row[old].png 4" in "".join(said.out.split("\n")).replace("│", "")


@pytest.mark.parametrize("what", ["classify", "number"])
def test_reasons_and_notes_are_in_json_also_if_nothing_was_read(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "b.png", "notes.txt"):
        (tmp_path / name).write_text("no picture")
    with pytest.raises(InputError):
        model_commands.predict(what, (str(tmp_path),), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert [Path(line.partition(":")[0]).name for line in told["refused"]] == ["a.png", "b.png"]
    assert len(told["notes"]) == 1
    assert "notes.txt" in told["notes"][0]


def test_mistakes_are_one_line(folder: Path) -> None:
    all_of_it, one = str(folder), str(folder / "a1.png")
    for model, pictures, anchor, words in (
        ("contains", (all_of_it,), None, "add --anchor"),
        ("sum", (all_of_it,), one, "leave out --anchor"),
        ("sum", (str(folder / "none.png"),), None, "no such file"),
        ("summ", (all_of_it,), None, "sum/exact"),
        ("sum/mlp", (all_of_it,) * 3, None, "at most 10"),
    ):
        with pytest.raises(InputError, match=words) as found:
            model_commands.predict(model, pictures, anchor)
        assert len(str(found.value).splitlines()) == 1
    with pytest.raises(InputError, match="expected a name that ends in"):
        model_commands.explain("sum", (str(folder),), out=Path("why.txt"))
    with pytest.raises(InputError, match="--show: expected a folder that exists"):
        model_commands.predict("sum", (str(folder),), show=folder / "none" / "steps.png")
    with pytest.raises(InputError, match="--device: an ONNX file is run on the CPU"):
        model_commands.predict("model.onnx", (one,), device="cuda")
    with pytest.raises(InputError, match="an empty one"):
        model_commands.predict("sum", ("",))
    with pytest.raises(InputError, match="one model of a task, a kind and an encoder, got sum/exact"):
        model_commands.demo(("sum/exact", "sum"))


def test_models_lists_what_load_loads(capsys: pytest.CaptureFixture[str]) -> None:
    model_commands.models()
    said = capsys.readouterr().out
    for name in ("sum/exact", "contains/transformer", "classify/mlp"):
        assert name in said
        assert digitset.load(name).run.task in name
