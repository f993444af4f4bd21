"""train(run): the loop. Everything random in it is a function of (seed, purpose, step), so it resumes bit for bit."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from digitset import data, machine, parts
from digitset.augment import affine
from digitset.data import Digits, Splits
from digitset.errors import InputError, TrainingError
from digitset.evaluation import read, scores, validation_set
from digitset.interrupt import Interrupt
from digitset.network import lengths_of, solve
from digitset.record import Record
from digitset.rng import derive, generator
from digitset.run import Run
from digitset.schedule import learning_rate, lengths_at
from digitset.sequences import Batch, sample
from digitset.state import State, initial_state, restore
from digitset.tasks import Task, training_loss

LOG_EVERY = 10  # steps
SETTLING = 5_000  # images that the statistics of batch normalisation are taken from at the end
Listener = Callable[[dict[str, Any]], None]


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
        restore(state, record)
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


def _changes(record: Record, here: dict[str, Any], step: int) -> dict[str, str]:
    """A note, kept with the metrics, if a run goes on where the same bits are not promised; else nothing."""
    there = record.machine()
    names = ("device", "device_name", "threads", "torch")
    changes = ", ".join(f"{name} {there[name]} -> {here[name]}" for name in names if there[name] != here[name])
    if not step or not changes:
        return {}
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
    if end:
        state.evaluated().settle(train.images[:SETTLING])
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
