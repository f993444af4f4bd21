"""AdamW and Muon that start at once, and which parameters each is for.

torch's optimizers are ready for torch.compile: making one imports torch._dynamo, which takes 1 to 3 seconds of every
process that trains. Nothing is compiled here, so the methods are taken without the decorators that need it. The
arithmetic is torch's own.
"""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd  # pyright: ignore[reportPrivateUsage]

from digitset.run import Run

LEAST_SIDE = 16  # of a matrix that Muon is for: an answer's layer has fewer outputs, and is better left to AdamW
LAYERS = (nn.Linear, nn.Bilinear, _ConvNd, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)


def parameter_groups(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The parameters of a network that weight decay is for, and all others.

    Decay is for the weights with which a layer multiplies its input: matrices and kernels of linear, convolutional and
    recurrent layers and of torch's attention. It is not for biases, normalisation and embeddings, nor for any parameter
    that a part makes itself (positions, class tokens, learned queries, levels): zero means nothing special for those.
    """
    decayed = {
        parameter
        for layer in network.modules()
        if isinstance(layer, LAYERS)
        for name, parameter in layer.named_parameters(recurse=False)
        if parameter.dim() >= 2 and "weight" in name
    }
    parameters = list(network.parameters())
    return [each for each in parameters if each in decayed], [each for each in parameters if each not in decayed]


Kind = TypeVar("Kind", bound=type[torch.optim.Optimizer])


def _without_decorators(kind: Kind) -> Kind:
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        setattr(kind, name, inspect.unwrap(getattr(torch.optim.Optimizer, name)))
    return kind


@_without_decorators
class AdamW(torch.optim.AdamW):
    """`torch.optim.AdamW` with plain methods."""

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step without gradients of its own, as torch's decorator has it for `differentiable=False`."""
        with torch.no_grad():
            return _step(self, closure)


@_without_decorators
class Muon(torch.optim.Muon):
    """`torch.optim.Muon` with plain methods."""


_step = cast(Callable[..., float | None], inspect.unwrap(cast(Callable[..., Any], torch.optim.AdamW.step)))  # pyright: ignore[reportUnknownMemberType]


def optimizers(run: Run, network: nn.Module, device: torch.device) -> list[torch.optim.Optimizer]:
    """What applies the gradients of a run: AdamW for all parameters, or beside Muon for all but large matrices.

    Muon (Jordan et al. 2024) makes the update of a matrix orthogonal. Scaled as Liu et al. 2025 (arXiv 2502.16982,
    section 2.2) do, it is as large as AdamW's, so that one learning rate and one decay suit both.
    """
    decayed, others = parameter_groups(network)
    matrices = [each for each in decayed if each.dim() == 2 and min(each.shape) >= LEAST_SIDE]
    matrices = matrices if run.optimizer == "muon" else []
    kept = {id(matrix) for matrix in matrices}
    groups = [
        {"params": [each for each in decayed if id(each) not in kept], "weight_decay": run.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    fused = device.type != "mps" or None
    found: list[torch.optim.Optimizer] = [AdamW(groups, lr=run.learning_rate, betas=(0.9, 0.99), fused=fused)]
    if matrices:
        rate, decay = run.learning_rate, run.weight_decay
        found.append(Muon(matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
    return found
