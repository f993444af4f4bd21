"""What `import digitset` offers a person in a notebook or a terminal: names, words for things, progress, figures."""

import contextlib
import io
import json
import os
import re
import rlcompleter
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Outcome
from PIL import Image
from test_structure import ROOT

import digitset
from digitset import InputError, Run
from digitset.data.mnist import load_data
from digitset.training.progress import Watch

TEST = load_data().test.images
SHORT = Run("sum", "exact", "lenet", steps=2, images_per_step=32, sequences_per_step=16)


def test_tab_shows_every_name() -> None:
    assert {*digitset.__all__, "__version__"} <= set(dir(digitset))
    completer = rlcompleter.Completer({"digitset": digitset})
    assert completer.complete("digitset.load_d", 0) == "digitset.load_data("
    for name in digitset.__all__:
        assert getattr(digitset, name).__doc__


def test_names_are_of_tasks_encoders_and_models() -> None:
    assert "sum" in digitset.names("tasks")
    with pytest.raises(InputError, match="unknown folder 'model': did you mean 'models'"):
        digitset.names("model")


def test_things_say_what_they_are(tmp_path: Path) -> None:
    assert repr(SHORT) == (
        "Run(task='sum', model='exact', encoder='lenet', steps=2, images_per_step=32, sequences_per_step=16)"
    )
    assert eval(repr(SHORT), {"Run": Run}) == SHORT
    assert repr(digitset.RunFolder(tmp_path / "none")).endswith("none'): no run yet")
    model = digitset.load("contains/mlp")
    assert repr(model).startswith(f"trained model contains/mlp on unpadded: {model.task.question}")
    assert repr(model).endswith("Takes at most 10 images.")
    assert "contains" in repr(model.task)
    assert repr(load_data()).startswith("Splits of MNIST of the package: train 55,000, val 5,000, test 10,000 images")
    assert repr(load_data().val) == "Digits: 5,000 images of 28x28 with their labels, on cpu"


def test_probabilities_of_all_answers() -> None:
    sequences = [TEST[:2], TEST[2:7], TEST[7:8]]
    model = digitset.load("sum/exact")
    found = model.predict_proba(sequences)
    assert found.shape == (3, 9 * 5 + 1)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-4)
    np.testing.assert_array_equal(found.argmax(axis=1), model.predict(sequences))
    assert not found[2, 10:].any()
    model = digitset.load("contains/transformer")
    found = model.predict_proba(sequences, TEST[:3])
    assert found.shape == (3, 2)
    np.testing.assert_allclose(found[:, 1], model.predict(sequences, TEST[:3]), atol=1e-5)
    with pytest.raises(InputError, match="answers 'sum' with a number, without probabilities"):
        digitset.load("sum/mlp").predict_proba(sequences)


def test_an_explanation_can_be_drawn(tmp_path: Path) -> None:
    model = digitset.load("contains/transformer")
    why = digitset.explain(model, TEST[1:4], TEST[0])
    assert why.answer == pytest.approx(float(model.predict([TEST[1:4]], TEST[:1])[0]), abs=1e-5)
    figure = why.plot()
    assert len(figure.axes) >= 4
    assert model.task.question in figure.get_suptitle()
    figure.savefig(tmp_path / "why.png")
    assert (tmp_path / "why.png").stat().st_size > 5_000
    assert repr(why).endswith("plot() draws it")


def test_packaged_models_in_python_and_in_json(command: Callable[..., Outcome]) -> None:
    packaged = digitset.packaged_models()
    assert [vars(each) for each in packaged] == json.loads(command("models", "--json").output)
    for each in packaged:
        assert each.accuracy is not None
        assert each.accuracy > 0.5
        assert each.name in command("models").output


def test_the_page_on_using_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    row = np.pad(np.hstack([np.pad(image, 6) for image in TEST[:3].numpy()]), 20)
    Image.fromarray(255 - row).save("page.png")
    number, block = re.findall(r"```python\n(.*?)```", (ROOT / "docs/using.md").read_text(), re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(number, {})
    assert "".join(re.findall(r"\d", printed.getvalue())) == "".join(map(str, load_data().test.labels[:3].tolist()))
    assert block.count("steps=200") == 1
    names: dict[str, Any] = {}
    exec(block.replace("steps=200", "steps=2, encoder='lenet', images_per_step=32, sequences_per_step=16"), names)
    assert any(names["losses"])
    assert (tmp_path / "explanation.png").stat().st_size > 5_000


def test_a_callback_that_is_no_list_of_functions_is_told_before_anything_is_written(tmp_path: Path) -> None:
    wrong: Any = print
    for callbacks in (wrong, [wrong, None]):
        with pytest.raises(InputError, match="callbacks: expected a list of functions"):
            digitset.train(SHORT, tmp_path / "run", callbacks=callbacks)
    assert not (tmp_path / "run").exists()


def test_a_run_is_no_name(tmp_path: Path) -> None:
    task: Any = "sum"
    with pytest.raises(InputError, match=re.escape("expected a digitset.Run, got 'sum'; such as digitset.Run('sum')")):
        digitset.train(task, tmp_path / "run")


def test_a_device_is_named_or_given(tmp_path: Path) -> None:
    assert digitset.load("sum", torch.device("cpu")).device == digitset.load("sum", "cpu").device


def test_callbacks_are_functions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps: list[int] = []
    losses: list[float] = []
    take = [lambda event: steps.append(event["step"]), lambda event: losses.append(event.get("loss", 0.0))]
    digitset.train(SHORT, tmp_path / "run", callbacks=take)
    assert sorted(set(steps)) == [0, 1, 2]
    assert any(losses)
    assert capsys.readouterr().out == "", "nobody watches"
    digitset.train(SHORT, tmp_path / "shown", progress=True)
    assert "step 2/2" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize("told", ["", ", progress=False"])
def test_a_terminal_shows_progress_unless_told_not_to(tmp_path: Path, told: str) -> None:
    import pty

    code = f"import digitset\nfrom digitset import Run\ndigitset.train({SHORT!r}, 'run'{told})"
    ours, theirs = pty.openpty()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "150"}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=theirs, cwd=tmp_path, env=environment)
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # Linux's way to say that nobody writes any more
        while piece := os.read(ours, 4_096):
            said += piece
    os.close(ours)
    assert process.wait() == 0
    assert (b"sum exact-lenet seed 0" in said and b"100%" in said) != bool(told), said


def test_a_notebook_shows_one_line_written_again(capsys: pytest.CaptureFixture[str]) -> None:
    with Watch(SHORT, notebook=True) as watch:
        for step in (1, 2):
            watch.listen({"step": step, "split": "train", "loss": 1.5, "images_per_second": 100.0})
    lines = capsys.readouterr().out
    assert lines.count("\n") == 1
    assert [line.split("  ")[0] for line in lines.strip().split("\r")] == [
        f"sum exact-lenet seed 0: step {step}/2" for step in (1, 2)
    ]
