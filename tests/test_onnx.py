"""Exported files answer as torch does, at every length and in every company; what cannot be exported leaves nothing."""

import hashlib
import json
import logging
import math
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from test_contract import stirred
from torch import Tensor, nn

from digitset import InputError, Predictor, Run, names
from digitset.data.mnist import Splits
from digitset.device import Machine
from digitset.inference import onnx_export as export
from digitset.inference import onnx_ops as translation
from digitset.inference import onnx_runtime as onnx
from digitset.inference.onnx_runtime import OnnxPredictor
from digitset.network import Experiment
from digitset.run_folder import RunFolder, Summary
from digitset.tasks import _probability as probability

CELLS = [
    ("classify", "mlp"),
    ("sum", "exact"),
    ("sum", "transformer"),
    ("sum", "mlp"),
    ("contains", "transformer"),
]  # the others are among the slow tests


@pytest.fixture(autouse=True)
def _no_shape_checks() -> Iterator[None]:
    """The checks of the other tests look at sizes, which in a traced graph would make them constants."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def predictor(task: str, model: str, encoder: str = "lenet", **options: Any) -> Predictor:
    """An untrained network, with weights that are nowhere zero."""
    run = Run(task, model, encoder, model_options=options)
    return Predictor(run, stirred(Experiment.of(run).build()), torch.device("cpu"))


def answers_are_equal(ours: Predictor, path: Path, mnist: Splits) -> None:
    images = mnist.test.images
    lengths = [n for n in (40, 1, 3, 10, 2, 3) if ours.network.longest is None or n <= ours.network.longest]
    sequences = [images[100 * i : 100 * i + n] for i, n in enumerate(lengths)]
    anchors = images[1_000 : 1_000 + len(lengths)] if ours.task.anchored else None
    theirs = OnnxPredictor(path, threads=1)
    expected = ours.predict(sequences, anchors)
    np.testing.assert_allclose(theirs.predict(sequences, anchors), expected, rtol=1e-4, atol=1e-5)
    alone = theirs.predict([sequences[2 % len(sequences)].numpy()], None if anchors is None else anchors[2:3].numpy())
    np.testing.assert_allclose(alone[0], expected[2 % len(sequences)], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("task", "model"), CELLS, ids=str)
def test_an_exported_file_answers_as_torch_does(task: str, model: str, tmp_path: Path, mnist: Splits) -> None:
    ours = predictor(task, model)
    attends = hasattr(ours.network.model, "attention")
    difference = export.export(ours, tmp_path / "model.onnx", attention=attends)
    assert difference.largest <= 1e-4
    assert (difference.attention is not None) == attends
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    content = (tmp_path / "model.onnx").read_bytes()
    assert len(content) < 4_000_000
    assert str(Path(export.__file__).parent).encode() not in content
    answers_are_equal(ours, tmp_path / "model.onnx", mnist)


@pytest.mark.slow
@pytest.mark.parametrize("model", names("models"))
@pytest.mark.parametrize("task", names("tasks"))
def test_all_models_of_all_tasks_can_be_exported(task: str, model: str, tmp_path: Path, mnist: Splits) -> None:
    for encoder in ("cnn", "vit") if model == "exact" else ("lenet",):
        ours = predictor(task, model, encoder)
        export.export(ours, tmp_path / "model.onnx", attention=hasattr(ours.network.model, "attention"))
        answers_are_equal(ours, tmp_path / "model.onnx", mnist)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "model", "options"),
    [
        ("contains", "gru", {"cell": "lstm", "directions": 2}),
        ("sum", "gru", {"directions": 2}),
        ("sum", "transformer", {"layers": 3}),
        ("contains", "transformer", {"layers": 1}),
        ("sum", "deepsets", {"pool": "mean"}),
    ],
    ids=str,
)
def test_variants_can_be_exported(
    task: str, model: str, options: dict[str, Any], tmp_path: Path, mnist: Splits
) -> None:
    ours = predictor(task, model, **options)
    export.export(ours, tmp_path / "model.onnx")
    answers_are_equal(ours, tmp_path / "model.onnx", mnist)


class Laws(nn.Module):
    def forward(self, log_chances: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return (
            probability.log_distribution_of_sum(log_chances, mask),
            probability.log_distribution_of_maximum(log_chances, mask),
            probability.log_distribution_of_distinct(log_chances, mask),
            probability.log_at_least_one(log_chances, mask).flatten(1),
        )


def test_exported_laws_are_the_laws(tmp_path: Path) -> None:
    """Down to 1e-30: below 1e-38, float32 ends. Other answers of a graph are as improbable as it can tell."""
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    example = torch.rand(3, 4, 10).log(), torch.ones(3, 4, dtype=torch.bool)
    with translation.quiet():
        program = torch.onnx.export(
            Laws().eval(),
            example,
            dynamo=True,
            dynamic_shapes=(free, free),
            verbose=False,
            custom_translation_table=translation.precise(),
        )
    assert program is not None
    session = onnx.session(program.model_proto.SerializeToString(), 1, "laws")
    names_of_inputs = [each.name for each in session.get_inputs()]
    for rows, length in ((1, 1), (2, 2), (3, 7), (2, 40), (1, 1_000)):
        draw = torch.Generator().manual_seed(length)
        log_chances = (4 * torch.randn(rows, length, 10, generator=draw)).log_softmax(dim=2)
        mask = torch.arange(length) < torch.tensor([[length], [max(1, length // 2)], [1]])[:rows]
        answers = session.run(None, dict(zip(names_of_inputs, (log_chances.numpy(), mask.numpy()), strict=True)))
        for found, expected in zip(answers, Laws()(log_chances, mask), strict=True):
            told = expected.clamp(min=math.log(1e-30)).numpy()
            np.testing.assert_allclose(np.maximum(found, math.log(1e-30)), told, rtol=1e-5, atol=1e-4)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Predictor, Path]:
    ours, path = predictor("contains", "transformer"), tmp_path_factory.mktemp("exported") / "contains.onnx"
    export.export(ours, path, attention=True)
    return ours, path


def test_metadata_say_what_the_file_is(exported: tuple[Predictor, Path], tmp_path: Path) -> None:
    ours, path = exported
    about = OnnxPredictor(path).metadata
    assert (about["task"], about["model"], about["encoder"]) == ("contains", "transformer", "lenet")
    assert Run.from_json(json.loads(about["run"])) == ours.run
    assert about["question"] == ours.task.question
    assert about["answer"] == "float32 [batch]: The probability of yes."
    assert about["anchored"] == "true"
    assert about["longest"] == ""
    assert json.loads(about["versions"])["torch"] == torch.__version__.split("+")[0]
    run_folder = RunFolder(tmp_path)
    run_folder.start(ours.run, Machine.here(torch.device("cpu")), "float32", 1, "")
    run_folder.finish(ours.network.state_dict(), Summary(1, 1, 1.0, 1.0, 1))
    assert about["weights_sha256"] == hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()


def test_inputs_and_outputs_have_named_dimensions_and_say_what_they_are(exported: tuple[Predictor, Path]) -> None:
    import onnx as format

    model = format.load(exported[1])
    values = {value.name: value for value in [*model.graph.input, *model.graph.output]}
    shapes = {
        name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for name, value in values.items()
    }
    assert shapes == {
        "images": ["batch", "length", 28, 28],
        "lengths": ["batch"],
        "anchors": ["batch", 28, 28],
        "answer": ["batch"],
        "output": ["batch", 1],
        "attention": ["batch", 4, "length"],
    }
    about = OnnxPredictor(exported[1]).metadata
    assert {name: value.doc_string for name, value in values.items()} == {name: about[name] for name in values}
    assert all(part in model.doc_string for part in (about["question"], "'transformer'", "'lenet'", "digitset 0."))
    format.checker.check_model(model, full_check=True)


@pytest.mark.parametrize(("task", "model"), [("sum", "exact"), ("contains", "transformer"), ("sum", "mlp")], ids=str)
def test_outputs_are_what_the_model_said(task: str, model: str, tmp_path: Path, mnist: Splits) -> None:
    ours = predictor(task, model)
    export.export(ours, tmp_path / "model.onnx")
    theirs, images = OnnxPredictor(tmp_path / "model.onnx"), mnist.test.images
    assert theirs.output_kind == ours.network.model.output_kind
    sequences, anchors = [images[:3], images[3:10]], images[10:12] if ours.task.anchored else None
    outputs = theirs.outputs(sequences, anchors)
    for row, output in enumerate(outputs):
        probabilities = ours.task.probabilities(torch.from_numpy(output)[None], ours.network.model.output_kind)
        if probabilities is None:
            np.testing.assert_allclose(output, ours.predict(sequences)[row : row + 1], rtol=1e-4)
        else:
            expected = ours.predict_proba(sequences, anchors)[row]
            np.testing.assert_allclose(probabilities[0], expected[: len(probabilities[0])], atol=1e-5)


def test_attention_is_that_of_the_predictor(exported: tuple[Predictor, Path], mnist: Splits) -> None:
    ours, path = exported
    images = mnist.test.images.numpy()
    inputs = onnx.padded([images[:3], images[3:10]]) | {"anchors": images[10:12]}
    (weights,) = OnnxPredictor(path).session.run(["attention"], inputs)
    for row, expected in zip(weights, ours.attention([images[:3], images[3:10]], images[10:12]), strict=True):
        np.testing.assert_allclose(row[:, : expected.shape[1]], expected, atol=1e-5)
        assert (row[:, expected.shape[1] :] == 0).all()


def test_what_lies_behind_a_sequence_is_not_looked_at(exported: tuple[Predictor, Path], mnist: Splits) -> None:
    images = mnist.test.images.numpy()
    session = OnnxPredictor(exported[1]).session
    inputs = onnx.padded([images[:3], images[3:10]]) | {"anchors": images[10:12]}
    (before,) = session.run(["answer"], inputs)
    inputs["images"][0, 3:] = images[20:24]
    assert np.array_equal(session.run(["answer"], inputs)[0], before)


def test_bad_input_is_refused_as_by_the_predictor(exported: tuple[Predictor, Path], mnist: Splits) -> None:
    ours, path = exported
    theirs, images = OnnxPredictor(path), mnist.test.images[:2]
    cases = [([images.float()], images[:1]), ([images[0]], images[:1]), ([images[:0]], images[:1]), ([images], None)]
    for sequences, anchors in [*cases, ([images], images), ([[1, 2]], images[:1])]:
        messages = []
        for one in (ours, theirs):
            with pytest.raises(InputError) as error:
                one.predict(sequences, anchors)
            messages.append(str(error.value))
        assert messages[0] == messages[1]
    assert theirs.predict([], images[:0]).shape == (0,)


ALONE = """
import os, sys
import numpy as np
from digitset.inference.onnx_runtime import OnnxPredictor
model = OnnxPredictor(sys.argv[1])
assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
print(model.predict([np.zeros((3, 28, 28), np.uint8)], np.zeros((1, 28, 28), np.uint8)).dtype, "torch" in sys.modules)
"""


def test_answering_needs_no_torch_and_reports_to_nobody(exported: tuple[Predictor, Path]) -> None:
    result = subprocess.run([sys.executable, "-c", ALONE, str(exported[1])], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("float32 False\n", "")


def test_a_file_that_is_no_model_of_digitset_is_one_clear_error(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    other = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "negative", [value], [other])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    (tmp_path / "other.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "text.onnx").write_text("not a model")
    cases = {"other.onnx": "expected one that this version of digitset", "text.onnx": "not an ONNX model"}
    for name, message in (cases | {"none.onnx": "expected an ONNX file, found no such file"}).items():
        with pytest.raises(InputError, match=message):
            OnnxPredictor(tmp_path / name)


def test_a_file_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {torch.ops.aten.log1p.default: lambda x: x}
    table = translation.precise() | broken
    monkeypatch.setattr(translation, "precise", lambda: table)
    with pytest.raises(InputError, match=r"not written: .* differ from torch's by"):
        export.export(predictor("contains", "exact"), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_one_answer_that_is_no_number_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = export._differences
    calls: list[int] = []

    def with_nan(*arguments: Any) -> list[float]:
        calls.append(1)
        output, answer, *more = measured(*arguments)
        return [output, math.nan if len(calls) == 3 else answer, *more]

    monkeypatch.setattr(export, "_differences", with_nan)
    with pytest.raises(InputError, match="not written"):
        export.export(predictor("sum", "exact"), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = predictor("sum", "mlp")
    with pytest.raises(InputError, match="no attention"):
        export.export(ours, tmp_path / "model.onnx", attention=True)
    for path in (tmp_path, tmp_path / "nowhere" / "model.onnx"):
        with pytest.raises(InputError, match="expected the name of a file"):
            export.export(ours, path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"needs ONNX: install digitset\[onnx\]"):
        export.export(ours, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_two_exports_at_once_leave_loggers_and_filters_as_they_were() -> None:
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    before = logger.level, list(warnings.filters)
    inside, may_leave = ([threading.Event(), threading.Event()] for _ in range(2))

    def export(index: int) -> None:
        with translation.quiet():
            inside[index].set()
            assert may_leave[index].wait(5)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(export, 0)
        assert inside[0].wait(5)
        second = threads.submit(export, 1)
        inside[1].wait(0.2)  # in vain, unless the two can be at it at once
        may_leave[0].set()
        first.result()
        may_leave[1].set()
        second.result()
    assert (logger.level, list(warnings.filters)) == before
