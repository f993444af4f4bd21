"""Where runs are made: processes of this machine, or the nodes of a Ray cluster.

Both are a context whose value has `submit(function, run, folder, *arguments)`, which gives a future of what the
function returns, as in `concurrent.futures`. `make_runs` hands them runs and watches them.
"""

import contextlib
import logging
import math
import multiprocessing
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch

from digitset import registry
from digitset.device import give_back_freed_memory, keep_freed_memory
from digitset.errors import InputError, Stopped, TrainingError
from digitset.files import write_whole
from digitset.models import load_model
from digitset.run import Run
from digitset.run_folder import RunFolder

Made = TypeVar("Made")
MOST_JOBS = 1_024
LOOK_EVERY = 2.0  # seconds between two looks at how far the runs under way are


@dataclass(frozen=True)
class Job(Generic[Made]):
    """A run, its folder, and the function that makes its rows, called with both and `arguments`."""

    run: Run
    folder: Path
    function: Callable[..., Made]
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Progress:
    """How far runs are: the runs, the indices of those that are done, the step of those under way by index.

    `later`: the `image_steps` of the stages that come after this one.
    """

    stage: str
    runs: list[Run]
    done: set[int] = field(default_factory=set[int])
    steps: dict[int, int] = field(default_factory=dict[int, int])
    later: int = 0


def image_steps(run: Run) -> int:
    """The steps of a run in which images are encoded: none for a length-only baseline, whose steps take no time."""
    return run.steps if load_model(run.model).uses_images else 0


Watch = Callable[[Progress], None]


class Executor(Protocol):
    """What makes runs."""

    def submit(self, function: Callable[..., Any], run: Run, folder: Path, /, *arguments: Any) -> "Future[Any]": ...


def choose_executor(cluster: str | None, jobs: int, cpus: int, gpus: float) -> AbstractContextManager[Executor]:
    """What the command asks for: a cluster's nodes, or processes of this machine."""
    if not cluster and (cpus, gpus) != (1, 0):
        raise InputError("--cpus and --gpus go with --cluster; on this machine its cores are divided among --jobs")
    return nodes(cluster, cpus, gpus) if cluster else processes(jobs)


def make_runs(
    jobs: list[Job[Made]], done: set[int], executor: Executor, watch: Watch, stage: str, later: int = 0
) -> "Iterator[tuple[int, Future[Made]]]":
    """Makes all jobs but those whose indices are in `done`; the index and the future of each as it ends.

    `watch` is told of progress before and after, and every few seconds; whoever takes a future puts its index into
    `done` if it holds a result. Raises TrainingError if a process was killed.
    """
    runs = [job.run for job in jobs]
    pending: dict[Future[Made], int] = {}
    for index, job in enumerate(jobs):
        if index not in done:
            pending[executor.submit(job.function, job.run, job.folder, *job.arguments)] = index
    while pending:
        steps = {index: made for index in pending.values() if (made := RunFolder(jobs[index].folder).last_step())}
        watch(Progress(stage, runs, done, steps, later))
        for future in wait(pending, timeout=LOOK_EVERY, return_when=FIRST_COMPLETED).done:
            if isinstance(future.exception(), BrokenExecutor):
                raise TrainingError(
                    "a process was killed, perhaps for lack of memory: go on with the same command, or with --jobs 1"
                )
            yield pending.pop(future), future
    watch(Progress(stage, runs, done, later=later))


@contextlib.contextmanager
def processes(jobs: int) -> Iterator[Executor]:
    """Processes of this machine, which share the threads of this one: two runs of one thread do more than one of two.

    Threads are as many as cores, or OMP_NUM_THREADS.

    On leaving, what has not begun is dropped. If an error or a signal is the reason, what runs is asked to stop as by
    Ctrl-C, after its step and a checkpoint; it is waited for.
    """
    if not 1 <= jobs <= MOST_JOBS:
        raise InputError(f"--jobs: expected 1 to {MOST_JOBS:,}, got {jobs}")
    threads = max(1, torch.get_num_threads() // jobs)
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(threads,))
    try:
        yield _Processes(pool)
    except BaseException:
        for child in multiprocessing.active_children():
            if child.pid is not None:
                with contextlib.suppress(ProcessLookupError):  # a signal to all has ended it already
                    os.kill(child.pid, signal.SIGINT)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


class _Processes:
    """Submits runs to a pool. A process that starts does not see Ctrl-C until it knows what to do then."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self.pool = pool

    def submit(self, function: Callable[..., Any], run: Run, folder: Path, /, *arguments: Any) -> "Future[Any]":
        with _ctrl_c_waits():
            return self.pool.submit(_run_here, registry.own_files(), function, run, folder, *arguments)


@contextlib.contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Ctrl-C waits until the end of this context; processes that are started in it inherit that it waits."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_busy = threading.Event()  # of a worker: it is making a run
_stopping = threading.Event()  # of a worker: it has been asked to stop and begins nothing any more


def _run_here(own_files: registry.OwnFiles, function: Callable[..., Any], *arguments: Any) -> Any:
    _busy.set()
    try:
        _give(own_files)
        if _stopping.is_set():
            raise KeyboardInterrupt
        return function(*arguments)
    except Stopped as stop:  # a pool that has lost a worker sends SIGTERM to the others, and waits for their end
        os._exit(128 + stop.args[0])
    except KeyboardInterrupt:
        _stopping.set()
        raise
    finally:
        _busy.clear()
        give_back_freed_memory()


def _stop(number: int, frame: object) -> None:
    """Ctrl-C in a worker that is idle, or before or after its steps, in which `train` has a handler of its own."""
    _stopping.set()
    if _busy.is_set():
        raise KeyboardInterrupt


def _give(own_files: registry.OwnFiles) -> None:
    """Another process reads no file again: it may have changed since the benchmark began."""
    for (folder, _), file in own_files.items():
        registry.give(folder, file)


@contextlib.contextmanager
def nodes(address: str, cpus: int, gpus: float) -> Iterator[Executor]:
    """The nodes of a Ray cluster ("local" starts one of this machine), each run with so many cores and GPUs.

    A run whose node is lost is made again on another, up to three times. Its folder comes home with its result.
    """
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # nodes have their own installation
    if cpus < 1 or not 0 <= gpus < math.inf:
        raise InputError(f"--cpus, --gpus: expected at least 1 and 0, got {cpus} and {gpus:g}")
    try:
        import ray
    except ImportError:
        raise InputError("--cluster needs Ray: install digitset[ray]") from None
    _expect_answer(address)
    ours = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(None if address == "local" else address, logging_level=logging.WARNING, log_to_driver=False)
    except (ConnectionError, ValueError) as error:
        raise InputError(f"--cluster: no Ray cluster answers at {address} ({str(error).splitlines()[0]})") from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, ours)  # Ray has put its own there
    try:
        yield _Nodes(ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=3)(_run_away))
    finally:
        ray.shutdown()


def _expect_answer(address: str) -> None:
    """Raises InputError where nobody listens at HOST:PORT; Ray itself would try for minutes."""
    if address in ("local", "auto"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise InputError(f"--cluster: expected HOST:PORT, auto or local, got {address}")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"--cluster: nobody answers at {address} ({error}); start one with `ray start`") from None


class _Nodes:
    """Submits runs to a Ray cluster. The second argument of every function is a folder, which comes home."""

    def __init__(self, remote: Any) -> None:
        self.remote = remote

    def submit(self, function: Callable[..., Any], run: Run, folder: Path, /, *arguments: Any) -> "Future[Any]":
        home: Future[Any] = Future()

        def arrive(away: "Future[Any]") -> None:
            try:
                result, files = away.result()
                folder.mkdir(parents=True, exist_ok=True)
                for name, content in sorted(files.items(), key=lambda item: item[0] == "model.json"):
                    write_whole(folder / name, content)  # what says that the run is finished comes last
                home.set_result(result)
            except BaseException as error:
                home.set_exception(getattr(error, "cause", None) or error)

        files = _files(folder) if folder.is_dir() else {}
        self.remote.remote(function, run, arguments, files, registry.own_files()).future().add_done_callback(arrive)
        return home


def _run_away(
    function: Callable[..., Any],
    run: Run,
    arguments: tuple[Any, ...],
    files: dict[str, bytes],
    own_files: registry.OwnFiles,
) -> tuple[Any, dict[str, bytes]]:
    """Makes a run in a folder of this node, from what there is at home of it; its result and the folder's files."""
    keep_freed_memory()
    _give(own_files)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        for file, content in files.items():
            folder.mkdir(exist_ok=True)
            (folder / file).write_bytes(content)
        try:
            result = function(run, folder, *arguments)
        except Stopped as stop:  # Ray makes a run again if its process is gone, and takes this error for a cancelling
            os._exit(128 + stop.args[0])
        finally:
            give_back_freed_memory()
        return result, _files(folder)


def _files(folder: Path) -> dict[str, bytes]:
    """The files of a run; not its lock, nor what a kill left half-written."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.startswith(".")}


def _begin(threads: int) -> None:
    """What a worker does first. Ctrl-C in a terminal reaches its parent alone, which passes it on once."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    signal.signal(signal.SIGINT, _stop)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    torch.set_num_threads(threads)
    keep_freed_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent must not leave processes that write to the folders of whoever starts it again."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
