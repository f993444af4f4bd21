"""AdamW and Muon that start at once, and which parameters each is for.

torch's optimizers are ready for torch.compile: making one imports torch._dynamo, which takes 1 to 3 seconds of every
process that trains. Nothing is compiled here, so the methods are taken without the decorators that need it. The
arithmetic of AdamW is torch's own; that of Muon is written here for many matrices at once, and held against torch's
by a test.
"""

import inspect
from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd  # pyright: ignore[reportPrivateUsage]

from digitset.run import Run

# Muon is for matrices whose shorter side is at least this. The output layer has fewer outputs, and learns better with
# AdamW (LOG.md).
LEAST_SIDE = 16
STEPS, FIRST, SECOND, THIRD = 5, 3.4445, -4.7750, 2.0315  # of Newton and Schulz
LEAST_NORM = 1e-7
LONG = 4  # times the short side
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
    """`torch.optim.Muon` with plain methods, whose step takes all matrices of one shape together (LOG.md).

    The scale is always "match_rms_adamw", with Nesterov's momentum and five Newton-Schulz steps; torch's arguments for
    these have no effect.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for shape, parameters in by_shape.items():
                directions = orthogonal(torch.stack([self._momentum(each, group["momentum"]) for each in parameters]))
                size = 0.2 * max(shape) ** 0.5 * group["lr"]
                for parameter, direction in zip(parameters, directions, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-size)

    def _momentum(self, parameter: nn.Parameter, decay: float) -> Tensor:
        """Nesterov's, of the gradient that a parameter has now."""
        gradient, state = cast(Tensor, parameter.grad), self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        return gradient.lerp(state["momentum_buffer"].lerp_(gradient, 1 - decay), decay)


def orthogonal(matrices: Float[Tensor, "n A B"]) -> Float[Tensor, "n A B"]:
    """Each matrix with singular values of about .5 to 1.5 in place of its own, by five Newton-Schulz steps.

    The coefficients are those of Jordan et al. 2024. As there, the steps are in bfloat16; those of a long matrix are in
    float32, on its short side alone, which is faster (LOG.md).
    """
    tall = matrices.shape[1] > matrices.shape[2]
    wide = matrices.transpose(1, 2) if tall else matrices
    directions = _through_gram(wide) if wide.shape[2] >= LONG * wide.shape[1] else _directly(wide)
    return directions.transpose(1, 2) if tall else directions


def _directly(wide: Float[Tensor, "n A B"]) -> Float[Tensor, "n A B"]:
    norm = wide.square().sum(dim=(1, 2), keepdim=True).sqrt().clamp(min=LEAST_NORM)
    x = wide.bfloat16() / norm.bfloat16()
    for _ in range(STEPS):
        gram = x @ x.transpose(1, 2)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=SECOND, alpha=THIRD), x, beta=FIRST)
    return x.float()


def _through_gram(wide: Float[Tensor, "n A B"]) -> Float[Tensor, "n A B"]:
    """Each step multiplies by a polynomial of the Gram matrix; the matrix is multiplied by the product of all."""
    gram = wide @ wide.transpose(1, 2)
    norm = gram.diagonal(dim1=1, dim2=2).sum(dim=1).sqrt().clamp(min=LEAST_NORM)[:, None, None]
    gram = gram / norm.square()
    one = torch.eye(gram.shape[1], device=gram.device)
    whole = _factor(gram, one)
    factor = whole
    for _ in range(STEPS - 1):
        gram = factor @ gram @ factor
        factor = _factor(gram, one)
        whole = factor @ whole
    return (whole / norm) @ wide


def _factor(gram: Float[Tensor, "n A A"], one: Float[Tensor, "A A"]) -> Float[Tensor, "n A A"]:
    """What one step multiplies a matrix by, from the matrix's Gram matrix."""
    return torch.baddbmm(gram, gram, gram, beta=SECOND, alpha=THIRD) + FIRST * one


_step = cast(Callable[..., float | None], inspect.unwrap(cast(Callable[..., Any], torch.optim.AdamW.step)))  # pyright: ignore[reportUnknownMemberType]


def optimizers(run: Run, network: nn.Module, device: torch.device) -> list[torch.optim.Optimizer]:
    """What applies the gradients of a run: AdamW for all parameters, or Muon for large matrices and AdamW for the rest.

    Muon (Jordan et al. 2024) makes the update of a matrix nearly orthogonal. Scaled as Liu et al. 2025 do (arXiv
    2502.16982, section 2.2), its root mean square is about that of AdamW's, so that one rate and one decay suit both.
    """
    decayed, others = parameter_groups(network)
    large = [each for each in decayed if each.dim() == 2 and min(each.shape) >= LEAST_SIDE]
    matrices = large if run.optimizer == "muon" else []
    of_muon = {id(matrix) for matrix in matrices}
    groups = [
        {"params": [each for each in decayed if id(each) not in of_muon], "weight_decay": run.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    fused = device.type != "mps" or None
    chosen: list[torch.optim.Optimizer] = [AdamW(groups, lr=run.learning_rate, betas=(0.9, 0.99), fused=fused)]
    if matrices:
        chosen.append(Muon(matrices, lr=run.learning_rate, weight_decay=run.weight_decay))
    return chosen
