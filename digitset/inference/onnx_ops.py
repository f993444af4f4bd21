"""What torch's exporter to ONNX has to be told about the operations of a network."""

import contextlib
import importlib.util
import logging
import threading
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from digitset.errors import InputError
from digitset.inference.onnx_runtime import needs_onnx
from digitset.network import Network
from digitset.run import Run

SMALL = 1_000  # bytes that are not worth a node of their own
_EXPORTING = threading.Lock()


def expect_onnx() -> None:
    """Raises InputError where what is needed to write a file and to try it is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxruntime", "onnxscript")):
        raise needs_onnx()


def translated(
    graph: nn.Module,
    inputs: dict[str, Tensor],
    shapes: Mapping[str, Mapping[int, object]],
    outputs: list[str],
    run: Run,
    half: bool = False,
) -> torch.onnx.ONNXProgram:
    """The ONNX program of a graph, without paths of this machine: examples of its inputs, and their free dimensions.

    With `half`, weights stand in half precision where that loses nothing, as in a published model. They are made
    float32 again when the file is loaded. Raises InputError for what ONNX cannot express; `run` names it.
    """
    try:
        with torch.no_grad(), quiet():
            program: Any = torch.onnx.export(
                graph, kwargs=inputs, dynamo=True, dynamic_shapes=dict(shapes), output_names=outputs, verbose=False,
                custom_translation_table=precise(), optimize=not half,
            )  # fmt: skip
            if half:  # before layers are made one, whose weights are others
                _halve(program)
                program.optimize()
                _halve(program)  # those that were turned round
    except torch.onnx.OnnxExporterError as error:
        cause = error.__cause__ or error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        reason = str(cause).strip().splitlines()[0]
        raise InputError(
            f"model '{run.model}' with encoder '{run.encoder}' cannot be exported for '{run.task}': {reason}"
        ) from error
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces
    return program


def _halve(program: Any) -> None:
    from onnxscript import ir

    graph = program.model.graph
    for weights in list(graph.initializers.values()):
        values = weights.const_value.numpy()
        if values.dtype != np.float32 or values.nbytes < SMALL:
            continue
        with np.errstate(over="ignore"):  # what is too large for it is seen to differ
            half = values.astype(np.float16)
        if not np.array_equal(half, values):
            continue
        stored = ir.val(f"{weights.name}.half", const_value=ir.tensor(half, name=f"{weights.name}.half"))
        cast = ir.node("Cast", [stored], {"to": ir.DataType.FLOAT})
        cast.outputs[0].type, cast.outputs[0].shape = weights.type, weights.shape
        weights.replace_all_uses_with(cast.outputs[0])
        graph.initializers.pop(weights.name)
        graph.register_initializer(stored)
        graph.insert_before(graph[0], cast)


def precise() -> dict[Any, Any]:
    """log(1 + x) and exp(x) - 1 for ONNX, which has neither: plainly, but in double precision, which loses nothing."""
    import onnxscript

    op: Any = onnxscript.opset18
    single, double = 1, 11

    # Annotations of parameters would say what they are in the graph, not here.
    def log1p(x):
        wide = op.Cast(x, to=double)
        return op.Cast(op.Log(op.Add(wide, op.CastLike(1.0, wide))), to=single)

    def expm1(x):
        wide = op.Cast(x, to=double)
        return op.Cast(op.Sub(op.Exp(wide), op.CastLike(1.0, wide)), to=single)

    return {torch.ops.aten.log1p.default: log1p, torch.ops.aten.expm1.default: expm1}


class _Recurrent(nn.Module):
    """A recurrent layer of torch with plain parameters; the list that torch keeps of them stops the exporter."""

    def __init__(self, layer: nn.GRU | nn.LSTM) -> None:
        super().__init__()
        self.weights = nn.ParameterList(layer.parameters())
        self.hidden, self.gated = layer.hidden_size, isinstance(layer, nn.GRU)

    def forward(self, row: Float[Tensor, "B L E"]) -> tuple[Float[Tensor, "B L H"], None]:
        start, weights = row.new_zeros(1, row.shape[0], self.hidden), list(self.weights)
        if self.gated:
            return torch.gru(row, start, weights, True, 1, 0.0, False, False, True)[0], None
        return torch.lstm(row, [start, start], weights, True, 1, 0.0, False, False, True)[0], None


def plain(network: Network) -> Network:
    """The same network, with recurrent layers (of one layer and direction, from first to last) as plain modules."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.GRU | nn.LSTM):
                setattr(module, name, _Recurrent(child))
    return network


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without notes on other packages' operators, such as torchvision's, and on what torch itself calls of torch.

    One thread at a time: the level of a logger and the filters of warnings are of the whole process.
    """
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    with _EXPORTING, warnings.catch_warnings():
        level = logger.level
        logger.setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", "_check_is_size", FutureWarning)
        try:
            yield
        finally:
            logger.setLevel(level)
