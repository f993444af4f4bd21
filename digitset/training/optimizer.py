"""AdamW that starts at once, and which parameters its weight decay is for.

torch's optimizers are ready for torch.compile: making one imports torch._dynamo, which takes 1 to 3 seconds of every
process that trains. Nothing is compiled here, so the methods are taken without the decorators that need it. The
arithmetic is torch's own.
"""

import inspect
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd  # pyright: ignore[reportPrivateUsage]

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


class AdamW(torch.optim.AdamW):
    """`torch.optim.AdamW` with plain methods."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step without gradients of its own, as torch's decorator has it for `differentiable=False`."""
        with torch.no_grad():
            return _step(self, closure)


_step = cast(Callable[..., float | None], inspect.unwrap(cast(Callable[..., Any], torch.optim.AdamW.step)))  # pyright: ignore[reportUnknownMemberType]
