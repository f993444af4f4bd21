"""AdamW that starts at once.

torch's optimizers are ready for torch.compile: making one imports torch._dynamo, which takes 1 to 3 seconds of every
process that trains. Nothing is compiled here, so the methods are taken without the decorators that need it. The
arithmetic is torch's own.
"""

import inspect
from collections.abc import Callable
from typing import Any, cast

import torch


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
