"""train(run): the loop. Everything random in it is a function of (seed, purpose, step), so it resumes bit for bit."""

import contextlib
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, cast

import torch
from jaxtyping import UInt8
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from digitset.data.augment import affine
from digitset.data.mnist import Digits, Splits, load_data
from digitset.data.sequences import Batch, fixed, sample, sample_fixed
from digitset.device import Machine, choose_device, choose_precision, plain_torch, wait_for
from digitset.errors import InputError, Stopped, TrainingError
from digitset.evaluation.evaluate import mean_scores, predict_sets, validation_set
from digitset.network import Experiment, Network
from digitset.rng import derive, generator, torch_seeded
from digitset.run import Run
from digitset.run_folder import RunFolder, Summary
from digitset.training import distributed
from digitset.training.optimizer import optimizers

LOG_EVERY = 10  # steps
BATCH_NORM_IMAGES = 5_000  # training images from which batch-norm statistics are recomputed at the end
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
Event = dict[str, Any]  # the report of a step: {"step": ...}, with a line of metrics where one is due
Callback = Callable[[Event], None]


@dataclass
class State:
    """All that changes while a run trains."""

    network: Network
    replica: nn.Module  # what a step calls: the network, or what shares its gradients with other processes
    optimizers: list[torch.optim.Optimizer]
    average: AveragedModel | None
    step: int = 0
    images: int = 0  # that this process has encoded in training steps, counted every time
    seconds: float = 0.0  # of training steps until the device had done them, without validation and checkpoints
    window: list[Tensor] = field(default_factory=list[Tensor])  # (loss, accuracy) of each step since the last log line

    def evaluated(self) -> Network:
        """The network that is evaluated: the average of the weights where there is one."""
        return self.network if self.average is None else cast(Network, self.average.module)

    def to_checkpoint(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "images": self.images,
            "seconds": self.seconds,
            "window": self.window,
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "average": None if self.average is None else self.average.state_dict(),
        }

    def load_checkpoint(self, saved: dict[str, Any]) -> None:
        self.step, self.images = saved["step"], saved["images"]
        self.seconds, self.window = saved["seconds"], saved["window"]
        self.network.load_state_dict(saved["network"])
        for optimizer, values in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(values)
        if self.average is not None:
            self.average.load_state_dict(saved["average"])


def learning_rate(run: Run, step: int) -> float:
    """The rate of a step, counted from 0: a linear warm-up, then a cosine that reaches zero at step `run.steps`.

    That is one step after the last, so every step learns. Two steps have the highest rate: the last of the warm-up and
    the first of the cosine.
    """
    warm = max(1, round(run.warmup_fraction * run.steps))
    if step < warm:
        return run.learning_rate * (step + 1) / warm
    progress = (step - warm) / max(1, run.steps - warm)
    return run.learning_rate * (1 + math.cos(math.pi * progress)) / 2


def lengths_at(experiment: Experiment, step: int) -> tuple[int, int]:
    """Shortest and longest sequence of a step: short ones come first, since their labels say more about each image."""
    shortest, longest = experiment.lengths
    growing = experiment.run.curriculum * experiment.run.steps
    if step >= growing:
        return shortest, longest
    return shortest, shortest + round((longest - shortest) * (step / growing) ** 2)


@dataclass(frozen=True)
class TrainingSet:
    """What a run is trained on: all training images, or a fixed number of labelled sequences of them."""

    images: UInt8[Tensor, "N 28 28"]
    digits: Digits
    fixed: Batch | None

    @classmethod
    def of(cls, experiment: Experiment, digits: Digits) -> "TrainingSet":
        run = experiment.run
        if run.training_sequences is None:
            return cls(digits.images, digits, None)
        sequences = fixed(digits, run.training_sequences, experiment.lengths, experiment.task.anchored, run.seed)
        return cls(sequences.images, digits, sequences)

    def note(self) -> str:
        """What a user should know of it: sequences of a fixed set that share images."""
        if self.fixed is None:
            return ""
        used = int(self.fixed.mask.sum()) + (0 if self.fixed.anchor is None else len(self.fixed.anchor))
        if used == len(self.images):
            return ""
        count = len(self.fixed.index)
        return f"the {count:,} training sequences share images: {len(self.images):,} images fill {used:,} places"

    def batch(self, experiment: Experiment, step: int) -> Batch:
        """The sequences of a step that this process trains on: a function of (seed, step, rank)."""
        run, lengths, rank = experiment.run, lengths_at(experiment, step), distributed.rank()
        if self.fixed is not None:
            return sample_fixed(self.fixed, run.sequences_per_step, lengths[1], run.seed, step, rank)
        sizes = run.images_per_step, run.sequences_per_step
        return sample(self.digits, *sizes, lengths, experiment.task.anchored, run.seed, step, rank)


def training_step(experiment: Experiment, state: State, data: TrainingSet) -> None:
    """One optimiser step. Every draw in it is a function of (seed, step, rank)."""
    run, task, network, rank = experiment.run, experiment.task, state.network, distributed.rank()
    kind = network.model.output_kind
    batch = data.batch(experiment, state.step)
    target = batch.targets(task)
    augmentation = generator(run.seed, "augmentation", state.step, *rank.purpose)
    images = affine(batch.images, run.augmentation_strength, augmentation)

    # torch's dropout takes no generator
    with torch_seeded(derive(run.seed, "dropout", state.step, *rank.purpose), data.images.device):
        output = state.replica(replace(batch, images=images))
    loss = task.training_loss(output, kind, target).mean()

    descend(run, network, state.optimizers, loss, state.step)
    if state.average is not None:
        state.average.update_parameters(network)

    with torch.no_grad():
        accuracy = task.scores(task.decode(output, kind), target)["accuracy"].mean()
    state.window.append(distributed.mean(torch.stack([loss.detach(), accuracy])))
    state.images += len(images)
    state.step += 1


def descend(run: Run, network: nn.Module, optimizers: Sequence[torch.optim.Optimizer], loss: Tensor, step: int) -> None:
    """Moves the parameters of a network against the gradient of a loss, a scalar, at the learning rate of a step."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(run, step)
        optimizer.zero_grad()
    loss.backward()  # pyright: ignore[reportUnknownMemberType]
    nn.utils.clip_grad_norm_(network.parameters(), run.max_grad_norm)
    for optimizer in optimizers:
        optimizer.step()


@plain_torch(learns=True)
def train(
    run: Run,
    out: str | Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    splits: Splits | None = None,
    progress: bool | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> RunFolder:
    """Trains a run into its folder (`runs/<task>/<model>-<encoder>/seed<k>` by default) and returns the folder.

    A finished run of the same settings is returned as it is. `callbacks` are functions; each is called with every line
    of metrics, a dict, and with `{"step": ...}` alone after every other step. What one raises ends the training.
    `splits` are the images of `run.data`, if they are loaded already. `progress` shows how far the training is; None
    shows it in a terminal and in a notebook alone.

    Several processes can train one run together: each computes its part of every step. Only the first writes the
    folder, validates and calls the callbacks. An error or a signal in one process stops all.

    Ctrl-C, SIGTERM and SIGHUP wait for the end of the step and a checkpoint, then raise KeyboardInterrupt (`Stopped`,
    with the number of the signal, where it is not Ctrl-C). A second signal takes effect at once. Python gives signals
    to the main thread alone; from any thread, `stop` is asked after each step and does what Ctrl-C does if it is true:
    `threading.Event().is_set`, for example.

    Raises InputError if the folder holds another run, or an unfinished one and `resume` is not set; TrainingError if
    the loss is not finite.
    """
    if not isinstance(run, Run):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"expected a digitset.Run, got {run!r}; such as digitset.Run('sum')")
    if callable(callbacks) or not all(map(callable, callbacks)):
        raise InputError(f"callbacks: expected a list of functions, got {callbacks!r}")
    if not (_is_watched() if progress is None else progress):
        return _train(run, out, resume, lambda event: _call(callbacks, event), splits, stop)
    from digitset.training.progress import Watch  # here, since a run that nobody watches needs no terminal

    with Watch(run) as watch:
        return _train(run, out, resume, lambda event: _call([watch.listen, *callbacks], event), splits, stop)


def _is_watched() -> bool:
    """Whether a person sees what is printed as it is: in a terminal or a notebook."""
    return distributed.rank().first and (sys.stdout.isatty() or "ipykernel" in sys.modules)


def _call(callbacks: Sequence[Callback], event: Event) -> None:
    for callback in callbacks:
        callback(event)


def _train(
    run: Run,
    out: str | Path | None,
    resume: bool,
    callback: Callback,
    splits: Splits | None,
    stop: Callable[[], bool],
) -> RunFolder:
    run_folder = RunFolder(out or Path("runs") / run.name)
    device = distributed.together(lambda: distributed.own_device(choose_device(run.device)))
    splits = splits or distributed.together(lambda: load_data(run.data, run.transpose))
    distributed.expect_same((replace(run, data=None), splits.checksum), "the command and the data")
    experiment = Experiment.of(run)
    if distributed.from_first(lambda: is_finished(run_folder, experiment, splits.checksum, resume)):
        return run_folder
    expect_trainable(experiment, splits)
    with _at_work(run_folder):
        # Another process may have been at work there since.
        if not distributed.from_first(lambda: is_finished(run_folder, experiment, splits.checksum, resume)):
            _train_alone(experiment, device, splits, run_folder, callback, stop)
    return run_folder


@contextlib.contextmanager
def _at_work(run_folder: RunFolder) -> Generator[None, None, None]:
    """A context of all processes of a run, whose first has the lock of the folder."""
    with contextlib.ExitStack() as held:

        def hold() -> None:
            held.enter_context(run_folder.training())

        distributed.from_first(hold)
        yield


def _train_alone(
    experiment: Experiment,
    device: torch.device,
    splits: Splits,
    run_folder: RunFolder,
    callback: Callback,
    stop: Callable[[], bool],
) -> None:
    """Trains a run that is not finished, in a folder that no other process writes."""
    run, here = experiment.run, Machine.here(device, distributed.rank().count)
    precision = distributed.from_first(
        lambda: run_folder.precision() if run_folder.exists else choose_precision(run.precision, device)
    )
    state = initial_state(experiment, device, precision)
    data = TrainingSet.of(experiment, splits.to(device).train)
    start = (run, here, precision, experiment.task.version, splits.checksum)
    with Interrupt(stop) as interrupt:  # from before there is a folder: whatever has one ends at a checkpoint
        distributed.from_first(lambda: run_folder.expect_own_files() if run_folder.exists else run_folder.start(*start))
        check = restore(state, run_folder)
        distributed.from_first(lambda: run_folder.drop_metrics_after(state.step, check))
        if distributed.rank().first:
            begin = "\n".join(filter(None, [*splits.notes, data.note()]))
            note = _changes(run_folder.machine(), here) if state.step else begin
            callback({"step": state.step} | _noted(run_folder, state.step, note))
        _loop(experiment, state, data, splits.to(device).val, run_folder, callback, interrupt)
        distributed.from_first(lambda: run_folder.finish(state.evaluated().state_dict(), _summary(state)))
    interrupt.end(interrupt.signal)


def is_finished(run_folder: RunFolder, experiment: Experiment, checksum: str, resume: bool) -> bool:
    """Whether a folder holds this run, finished. False if there is none, or an unfinished one and `resume` is set.

    Raises InputError if it holds another run, or an unfinished one and `resume` is not set.
    """
    if not run_folder.exists:
        return False
    path, run, kept = run_folder.path, experiment.run, run_folder.run()
    if kept.settings() != run.settings() or run_folder.data_checksum() != checksum:
        old, new = kept.to_json(), run.to_json()
        names = [name for name in new if name in kept.settings() | run.settings()]
        differing = [f"{name} {old[name]} -> {new[name]}" for name in names if old[name] != new[name]]
        raise InputError(f"{path} holds a different run ({'; '.join(differing) or 'other data'}): choose another --out")
    if run_folder.task_version() != experiment.task.version:
        raise InputError(f"{path} holds a run of another version of task '{run.task}': choose another --out")
    if run_folder.finished:
        return True
    if not resume:
        raise InputError(f"{path} holds this run, unfinished: add --resume to go on, or choose another --out")
    return False


def expect_trainable(experiment: Experiment, splits: Splits) -> None:
    """Raises InputError for a run that cannot be trained on these images."""
    run, task = experiment.run, experiment.task
    if task.single_image and experiment.lengths != (1, 1):
        raise InputError(f"--lengths: expected 1 1, all that task '{run.task}' is about, got {run.lengths}")
    longest = experiment.lengths[1] + int(task.anchored)
    processes = distributed.rank().count
    if run.training_sequences is not None:
        if len(splits.train) < longest:
            raise InputError(f"--lengths: expected at most {len(splits.train)} images, all of training, got {longest}")
        if min(run.training_sequences, run.sequences_per_step) < processes:
            raise InputError(
                f"--training-sequences, --sequences-per-step: expected at least {processes} each, one a process, "
                f"got {run.training_sequences} and {run.sequences_per_step}"
            )
    elif min(run.images_per_step, len(splits.train)) // processes < longest:
        each = "" if processes == 1 else f" in each of {processes} processes"
        raise InputError(
            f"--images-per-step: expected at least {longest * processes} images, for the longest sequence and its "
            f"anchor{each}, got {run.images_per_step}"
        )
    if len(splits.val) < longest:
        raise InputError(f"--lengths: expected at most {len(splits.val)} images, all of validation, got {longest}")


def initial_state(experiment: Experiment, device: torch.device, precision: str) -> State:
    """The state before the first step."""
    run, network = experiment.run, experiment.build()
    network.precision = precision
    network.to(device)
    average = None
    if run.ema_decay:
        average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(run.ema_decay), use_buffers=True)  # pyright: ignore[reportUnknownArgumentType]
    replica = distributed.replicate(network, all_learn=network.model.uses_images)
    return State(network, replica, optimizers(run, network, device), average)


def restore(state: State, run_folder: RunFolder) -> int | None:
    """Loads the run's checkpoint into a state, if there is one; the first process reads it for all.

    Returns the check of the metrics that it belongs to; None without a checkpoint, and from an older version. Raises
    InputError if it is damaged, or of another network.
    """
    saved = distributed.from_first(lambda: run_folder.load_checkpoint() if run_folder.has_checkpoint else None)
    if saved is None:
        return None
    if "optimizer" in saved:  # older checkpoints hold one, AdamW
        saved["optimizers"] = [saved["optimizer"]]
    saved.setdefault("images", saved["step"] * run_folder.run().images_per_step // distributed.rank().count)
    try:
        state.load_checkpoint(saved)
    except (RuntimeError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{run_folder.path}: the checkpoint is of another version of the model or the encoder ({reason}); "
            "choose another --out"
        ) from None
    return saved.get("metrics_check")


def _changes(there: Machine, here: Machine) -> str:
    """What to note of a run that is resumed where equal bits are not promised; else nothing."""
    names = ("device", "device_name", "threads", "processes", "torch")
    pairs = [(name, getattr(there, name), getattr(here, name)) for name in names]
    changes = ", ".join(f"{name} {old} -> {new}" for name, old, new in pairs if old != new)
    return f"goes on elsewhere than it began ({changes}): not bit for bit as if it had not stopped" if changes else ""


def _noted(run_folder: RunFolder, step: int, note: str) -> dict[str, str]:
    """The note as part of an event, also written to the metrics; nothing if there is none."""
    if not note:
        return {}
    run_folder.add_metrics({"step": step, "note": note})
    return {"note": note}


def _loop(
    experiment: Experiment,
    state: State,
    data: TrainingSet,
    val: Digits,
    run_folder: RunFolder,
    callback: Callback,
    interrupt: "Interrupt",
) -> None:
    """Steps until the end, with log lines, validations and checkpoints where they are due."""
    run = experiment.run
    validation = validation_set(val, experiment.task, experiment.lengths)
    state.network.train()
    while state.step < run.steps:
        start = time.perf_counter()
        training_step(experiment, state, data)
        end = state.step == run.steps
        if end:
            state.evaluated().recompute_batch_norm(data.images[:BATCH_NORM_IMAGES])
        logs, validates = (state.step % every == 0 or end for every in (LOG_EVERY, run.validate_every))
        if logs or validates:
            wait_for(data.images.device)
        state.seconds += time.perf_counter() - start
        event: Event = {"step": state.step} | (_log_line(run, state) if logs else {})
        if distributed.rank().first:
            _report(experiment, state, validation if validates else None, event, run_folder, callback)
        asked = distributed.greatest(interrupt.asked())
        if asked or (state.step % run.checkpoint_every == 0 and not end):
            start = time.perf_counter()
            wait_for(data.images.device)
            state.seconds += time.perf_counter() - start
            distributed.from_first(lambda: run_folder.save_checkpoint(state.to_checkpoint()))
        interrupt.end(asked)


def _log_line(run: Run, state: State) -> Event:
    """The line for the steps since the last one. Raises TrainingError if a loss among them is not finite."""
    window = torch.stack([pair.cpu() for pair in state.window])
    losses, accuracies = cast(list[list[float]], window.T.tolist())  # pyright: ignore[reportUnknownMemberType]
    for index, loss in enumerate(losses):
        if not math.isfinite(loss):
            step = state.step - len(losses) + index + 1
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
        "images_per_second": _images(state) / state.seconds,
    }


def _report(
    experiment: Experiment,
    state: State,
    validation: Batch | None,
    event: Event,
    run_folder: RunFolder,
    callback: Callback,
) -> None:
    """Reports a step, and validates where there is a set to validate on."""
    task = experiment.task
    if "split" in event:
        run_folder.add_metrics(event)
    callback(event)
    if validation is not None:
        (predictions,) = predict_sets(state.evaluated(), task, [validation])
        event = {"step": state.step, "split": "val", **mean_scores(task, predictions)}
        run_folder.add_metrics(event)
        callback(event)


def _images(state: State) -> int:
    """How many images all processes have encoded; each has about as many as this one."""
    return state.images * distributed.rank().count


def _summary(state: State) -> Summary:
    speed = _images(state) / state.seconds
    return Summary(state.step, _images(state), state.seconds, speed, state.network.parameter_count())


class Interrupt:
    """A context in which the first signal that asks to stop is only kept, and the second does what it did before.

    The signals are SIGINT (Ctrl-C), SIGTERM and SIGHUP, unless the process ignores them, as under nohup. `stop` asks
    for the same, in whatever thread. Outside the main thread, where Python takes no signals, `stop` alone does.
    """

    def __init__(self, stop: Callable[[], bool]) -> None:
        self.stop, self.signal = stop, 0
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if number == signal.SIGINT or handler not in (signal.SIG_IGN, None):  # None is not Python's to put back
                    self.before[number] = signal.signal(number, self._keep)
        return self

    def __exit__(self, *error: object) -> None:
        while self.before:
            signal.signal(*self.before.popitem())

    def asked(self) -> int:
        """The number of the signal that asks to stop; Ctrl-C's for `stop`, and 0 for none."""
        if not self.signal and self.stop():
            self.signal = int(signal.SIGINT)
        return self.signal

    @staticmethod
    def end(number: int) -> None:
        """Raises what a signal that was kept stands for; nothing for 0."""
        if number:
            raise KeyboardInterrupt if number == signal.SIGINT else Stopped(number)

    def _keep(self, number: int, frame: object) -> None:
        if not self.signal:
            self.signal = number
        elif not distributed.signals_come_twice():
            self.__exit__()
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            signal.raise_signal(number)
