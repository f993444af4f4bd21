"""What torch's exporter to ONNX has to be told about the operations of a network."""

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from digitset.network import Network

_EXPORTING = threading.Lock()


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
