"""train(run): the loop. Everything random in it is a function of (seed, purpose, step), so it resumes bit for bit."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from digitset import data, distributed, machine, parts
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

    In a process group, its processes train one run together: each takes its share of every step, and the first alone
    keeps the record, validates and calls its listener. Errors and Ctrl-C in one end all.

    Raises InputError if the folder holds another run, or an unfinished one and `resume` is not set; TrainingError if
    the loss is not finite. Ctrl-C waits for the end of the step and a checkpoint, then raises KeyboardInterrupt.
    """
    record = Record(out or Path("runs") / run.name)
    on = distributed.together(lambda: distributed.place(machine.device(run.device)))
    splits = distributed.together(lambda: data.load(run.data))
    distributed.expect_same((replace(run, data=None), splits.checksum), "the command and the data")
    if distributed.from_first(lambda: is_finished(record, run, splits.checksum, resume)):
        return record
    check(run, splits)
    machine.keep_freed_memory()
    task, here = parts.load("tasks", run.task), machine.describe(on)
    precision = distributed.from_first(
        lambda: record.machine()["precision"] if record.exists else machine.precision(run.precision, on)
    )
    state = initial_state(run, on, precision)
    facts = {**here, "precision": precision, "task_version": task.VERSION}
    distributed.from_first(lambda: None if record.exists else record.start(run, facts, splits.checksum))
    restore(state, record)
    if distributed.share().first:
        record.drop_metrics_after(state.step)
        listener({"step": state.step} | _changes(record, here, state.step))
    with torch.random.fork_rng():
        _loop(run, task, state, splits.to(on), record, listener)
    distributed.from_first(lambda: record.finish(state.evaluated().state_dict(), _summary(run, splits, state)))
    return record


def _summary(run: Run, splits: Splits, state: State) -> dict[str, Any]:
    """What the record of a finished run says of its training as a whole."""
    images = run.steps * min(run.pool, len(splits.train))
    return {
        "steps": run.steps,
        "images": images,
        "train_seconds": state.seconds,
        "images_per_second": images / state.seconds,
        "parameters": state.network.parameter_count(),
    }


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
    there = {"processes": 1} | record.machine()  # records did not always say how many there were
    names = ("device", "device_name", "threads", "processes", "torch")
    changes = ", ".join(f"{name} {there[name]} -> {here[name]}" for name in names if there[name] != here[name])
    if not step or not changes:
        return {}
    note = f"goes on from step {step} elsewhere than it began ({changes}): not bit for bit as if it had not stopped"
    record.add_metrics({"step": step, "note": note})
    return {"note": note}


def check(run: Run, splits: Splits) -> None:
    """Raises InputError for a run that cannot be trained on these images."""
    if parts.load("tasks", run.task).LENGTHS == (1, 1) and lengths_of(run) != (1, 1):
        raise InputError(f"--lengths: expected 1 1, all that task '{run.task}' is about, got {run.lengths}")
    longest = lengths_of(run)[1] + int(parts.load("tasks", run.task).ANCHORED)
    ranks = distributed.share().ranks
    if min(run.pool, len(splits.train)) // ranks < longest:
        each = "" if ranks == 1 else f" in each of {ranks} processes"
        raise InputError(
            f"--pool: expected at least {longest * ranks} images, for the longest sequence and its anchor{each}, "
            f"got {run.pool}"
        )
    if len(splits.val) < longest:
        raise InputError(f"--lengths: expected at most {len(splits.val)} images, all of validation, got {longest}")


def _loop(run: Run, task: Task, state: State, splits: Splits, record: Record, listener: Listener) -> None:
    validation = validation_set(splits.val, task, lengths_of(run))
    state.network.train()
    with Interrupt() as interrupt:
        while state.step < run.steps:
            event = _advance(run, task, state, splits.train)
            if distributed.share().first:
                _report(run, task, state, validation, event, record, listener)
            stop = distributed.any_of(interrupt.asked)
            if stop or (state.step % run.checkpoint_every == 0 and state.step < run.steps):
                distributed.from_first(lambda: record.save_checkpoint(state.to_checkpoint()))
            if stop:
                raise KeyboardInterrupt


def _advance(run: Run, task: Task, state: State, train: Digits) -> dict[str, Any]:
    """One step; what there is to tell of it."""
    start = time.perf_counter()
    step(run, task, state, train)
    end = state.step == run.steps
    if end:
        state.evaluated().settle(train.images[:SETTLING])
    event: dict[str, Any] = {"step": state.step}
    if state.step % LOG_EVERY == 0 or end:
        event |= _log_line(run, state, start)
    else:
        state.seconds += time.perf_counter() - start
    return event


def _report(
    run: Run, task: Task, state: State, validation: Batch, event: dict[str, Any], record: Record, listener: Listener
) -> None:
    """Tells of a step, and makes the validation where one is due."""
    if "split" in event:
        record.add_metrics(event)
    listener(event)
    if state.step % run.validate_every == 0 or state.step == run.steps:
        (readings,) = read(state.evaluated(), task, [validation])
        event = {"step": state.step, "split": "val", **scores(task, readings)}
        record.add_metrics(event)
        listener(event)


def step(run: Run, task: Task, state: State, digits: Digits) -> None:
    """One optimiser step."""
    share, now = distributed.share(), state.step
    torch.manual_seed(derive(run.seed, "dropout", now, *share.purpose))  # dropout draws from torch's global generator
    batch = sample(digits, run.pool, run.sequences, lengths_at(run, now), task.ANCHORED, run.seed, now, share)
    target = solve(task, batch)
    images = affine(batch.images, run.augmentation, generator(run.seed, "augmentation", now, *share.purpose))
    output = state.replica(replace(batch, images=images))
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
    state.window.append(distributed.mean(torch.stack([loss.detach(), accuracy])))
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
