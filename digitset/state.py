"""State: all that changes while a run trains; from a run, to a checkpoint and back."""

from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from digitset import distributed
from digitset.errors import InputError
from digitset.network import Network, build
from digitset.record import Record
from digitset.run import Run


@dataclass
class State:
    """All that changes while a run trains."""

    network: Network
    replica: nn.Module  # what a step calls: the network, or what shares its gradients with other processes
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None
    step: int = 0
    seconds: float = 0.0  # of training steps, without validation and checkpoints
    window: list[Tensor] = field(default_factory=list)  # (loss, accuracy) of each step since the last log line

    def evaluated(self) -> Network:
        """The network that is evaluated: the average of the weights where there is one."""
        return self.network if self.average is None else cast(Network, self.average.module)

    def to_checkpoint(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "seconds": self.seconds,
            "window": self.window,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
        }

    def load_checkpoint(self, saved: dict[str, Any]) -> None:
        self.step, self.seconds, self.window = saved["step"], saved["seconds"], saved["window"]
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(saved["average"])


def initial_state(run: Run, on: torch.device, precision: str) -> State:
    network = build(run)
    network.precision = precision
    network.to(on)
    matrices = [parameter for parameter in network.parameters() if parameter.dim() >= 2]
    others = [parameter for parameter in network.parameters() if parameter.dim() < 2]
    groups = [{"params": matrices, "weight_decay": run.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=run.learning_rate, betas=(0.9, 0.99), fused=on.type != "mps" or None)
    average = None
    if run.average:
        average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(run.average), use_buffers=True)
    return State(network, distributed.replicate(network, all_learn=network.model.sees_images), optimizer, average)


def restore(state: State, record: Record) -> None:
    """Brings a state to where the checkpoint of a run is, if there is one; the first process reads it for all."""
    saved = distributed.from_first(lambda: record.load_checkpoint() if record.has_checkpoint else None)
    if saved is None:
        return
    try:
        state.load_checkpoint(saved)
    except (RuntimeError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{record.folder}: the checkpoint is of another version of the model or the encoder ({reason}); "
            "choose another --out"
        ) from None
