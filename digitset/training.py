"""train(run): the loop. Everything random in it is a function of (seed, purpose, step), so it resumes bit for bit."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from digitset import data, machine, parts
from digitset.augment import affine
from digitset.data import Digits, Splits
from digitset.errors import InputError, TrainingError
from digitset.evaluation import read, scores, validation_set
from digitset.interrupt import Interrupt
from digitset.network import Network, build, lengths_of, solve
from digitset.record import Record
from digitset.rng import derive, generator
from digitset.run import Run
from digitset.sequences import Batch, sample
from digitset.tasks import Task, training_loss

LOG_EVERY = 10  # steps
Listener = Callable[[dict[str, Any]], None]


@dataclass
class State:
    """All that changes while a run trains."""

    network: Network
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


def train(
    run: Run, out: str | Path | None = None, resume: bool = False, listener: Listener = lambda event: None
) -> Record:
    """Trains a run into its folder (`runs/<task>/<model>-<encoder>/seed<k>` by default) and returns its record.

    A finished run of the same configuration is returned as it is. `listener` is called with each line of metrics, and
    with `{"step": ...}` alone after every other step.

    Raises InputError if the folder holds another run, or an unfinished one and `resume` is not set; TrainingError if
    the loss is not finite. Ctrl-C waits for the end of the step and a checkpoint, then raises KeyboardInterrupt.
    """
    record = Record(out or Path("runs") / run.name)
    on = machine.device(run.device)
    splits = data.load(run.data)
    if is_finished(record, run, splits.checksum, resume):
        return record
    _check_pool(run, splits)
    machine.keep_freed_memory()
    task, here = parts.load("tasks", run.task), machine.describe(on)
    precision = record.machine()["precision"] if record.exists else machine.precision(run.precision, on)
    state = initial_state(run, on, precision)
    if not record.exists:
        record.start(run, {**here, "precision": precision, "task_version": task.VERSION}, splits.checksum)
    if record.has_checkpoint:
        _restore(state, record)
    record.drop_metrics_after(state.step)
    listener({"step": state.step} | _changes(record, here, state.step))
    with torch.random.fork_rng():
        _loop(run, task, state, splits.to(on), record, listener)
    images = run.steps * min(run.pool, len(splits.train))
    summary = {
        "steps": run.steps,
        "images": images,
        "train_seconds": state.seconds,
        "images_per_second": images / state.seconds,
        "parameters": state.network.parameter_count(),
    }
    record.finish(state.evaluated().state_dict(), summary)
    return record


def is_finished(record: Record, run: Run, checksum: str, resume: bool) -> bool:
    """Whether a folder holds this very run, finished. InputError if it holds another, or a part and not `resume`."""
    if not record.exists:
        return False
    there = record.run()
    if replace(there, data=None) != replace(run, data=None) or record.data_checksum() != checksum:
        old, new = there.to_json(), run.to_json()
        differing = [f"{name} {old[name]} -> {new[name]}" for name in old if old[name] != new[name]]
        raise InputError(
            f"{record.folder} holds a different run ({'; '.join(differing) or 'other data'}): choose another --out"
        )
    version = parts.load("tasks", run.task).VERSION
    if record.machine()["task_version"] != version:
        raise InputError(f"{record.folder} holds a run of another version of task '{run.task}': choose another --out")
    if record.finished:
        return True
    if not resume:
        raise InputError(f"{record.folder} holds this run, unfinished: add --resume to go on, or choose another --out")
    return False


def _restore(state: State, record: Record) -> None:
    """Brings a state to where the checkpoint of a run is."""
    try:
        state.load_checkpoint(record.load_checkpoint())
    except (RuntimeError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{record.folder}: the checkpoint is of another version of the model or the encoder ({reason}); "
            "choose another --out"
        ) from None


def _changes(record: Record, here: dict[str, Any], step: int) -> dict[str, str]:
    """A note, kept with the metrics, if a run goes on where the same bits are not promised; else nothing."""
    there = record.machine()
    names = [name for name in ("device", "device_name", "threads", "torch") if there[name] != here[name]]
    if not step or not names:
        return {}
    changes = ", ".join(f"{name} {there[name]} -> {here[name]}" for name in names)
    note = f"goes on from step {step} elsewhere than it began ({changes}): not bit for bit as if it had not stopped"
    record.add_metrics({"step": step, "note": note})
    return {"note": note}


def _check_pool(run: Run, splits: Splits) -> None:
    if parts.load("tasks", run.task).LENGTHS == (1, 1) and lengths_of(run) != (1, 1):
        raise InputError(f"--lengths: expected 1 1, all that task '{run.task}' is about, got {run.lengths}")
    longest = lengths_of(run)[1] + int(parts.load("tasks", run.task).ANCHORED)
    if min(run.pool, len(splits.train)) < longest:
        raise InputError(
            f"--pool: expected at least {longest} images, for the longest sequence and its anchor, got {run.pool}"
        )
    if len(splits.val) < longest:
        raise InputError(f"--lengths: expected at most {len(splits.val)} images, all of validation, got {longest}")


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
    return State(network, optimizer, average)


def learning_rate(run: Run, step: int) -> float:
    """The rate of a step: a linear warm-up from zero, then a cosine to zero at the run's end."""
    warm = max(1, round(run.warmup * run.steps))
    if step < warm:
        return run.learning_rate * (step + 1) / warm
    progress = (step - warm) / max(1, run.steps - warm)
    return run.learning_rate * (1 + math.cos(math.pi * progress)) / 2


def lengths_at(run: Run, step: int) -> tuple[int, int]:
    """Shortest and longest sequence of a step: short ones first, whose labels say more of each image."""
    shortest, longest = lengths_of(run)
    if step >= run.curriculum * run.steps:
        return shortest, longest
    return shortest, shortest + round((longest - shortest) * (step / (run.curriculum * run.steps)) ** 2)


def _loop(run: Run, task: Task, state: State, splits: Splits, record: Record, listener: Listener) -> None:
    validation = validation_set(splits.val, task, lengths_of(run))
    state.network.train()
    with Interrupt() as interrupt:
        while state.step < run.steps:
            _advance(run, task, state, splits.train, validation, record, listener)
            if interrupt.asked or (state.step % run.checkpoint_every == 0 and state.step < run.steps):
                record.save_checkpoint(state.to_checkpoint())
            if interrupt.asked:
                raise KeyboardInterrupt


def _advance(
    run: Run, task: Task, state: State, train: Digits, validation: Batch, record: Record, listener: Listener
) -> None:
    """One step, its log line where one is due, and the validation where one is due."""
    start = time.perf_counter()
    step(run, task, state, train)
    end = state.step == run.steps
    event: dict[str, Any] = {"step": state.step}
    if state.step % LOG_EVERY == 0 or end:
        event |= _log_line(run, state, start)
        record.add_metrics(event)
    else:
        state.seconds += time.perf_counter() - start
    listener(event)
    if state.step % run.validate_every == 0 or end:
        (readings,) = read(state.evaluated(), task, [validation])
        event = {"step": state.step, "split": "val", **scores(task, readings)}
        record.add_metrics(event)
        listener(event)


def step(run: Run, task: Task, state: State, digits: Digits) -> None:
    """One optimiser step."""
    torch.manual_seed(derive(run.seed, "dropout", state.step))  # dropout draws from torch's global generator
    batch = sample(digits, run.pool, run.sequences, lengths_at(run, state.step), task.ANCHORED, run.seed, state.step)
    target = solve(task, batch)
    images = affine(batch.images, run.augmentation, generator(run.seed, "augmentation", state.step))
    output = state.network(replace(batch, images=images))
    kind = state.network.model.output
    loss = training_loss(task, kind, output, target).mean()

    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(run, state.step)
    state.optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(state.network.parameters(), run.clip)
    state.optimizer.step()
    if state.average is not None:
        state.average.update_parameters(state.network)
    with torch.no_grad():
        accuracy = task.scores(task.read(output, kind), target)["accuracy"].mean()
    state.window.append(torch.stack([loss.detach(), accuracy]))
    state.step += 1


def _log_line(run: Run, state: State, start: float) -> dict[str, Any]:
    """The line for the steps since the last one. Raises TrainingError if a loss among them is not finite."""
    losses, accuracies = torch.stack([pair.cpu() for pair in state.window]).T.tolist()  # waits for the device
    state.seconds += time.perf_counter() - start
    for place, loss in enumerate(losses):
        if not math.isfinite(loss):
            step = state.step - len(losses) + place + 1
            raise TrainingError(
                f"step {step}: the loss is {loss}; try a lower --learning-rate than {run.learning_rate} "
                "and another --out"
            )
    state.window.clear()
    return {
        "split": "train",
        "loss": sum(losses) / len(losses),
        "accuracy": sum(accuracies) / len(accuracies),
        "learning_rate": learning_rate(run, state.step - 1),
        "seconds": state.seconds,
        "images_per_second": state.step * run.pool / state.seconds,
    }
