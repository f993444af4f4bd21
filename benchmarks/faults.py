"""What happens to damage and to wrong input, thousands of times: `results/faults.csv`.

    uv run benchmarks/faults.py [--groups damage malformed inputs kills signals storage writers] [--count 2000]

`damage`: a run, an unfinished run and a published model, with one file changed each time (a bit, a byte, cut off, a
part twice), are read as they are used. `malformed`: their JSON files are replaced by what is no such file. `inputs`:
every command gets wrong options, files and names. `kills`: a run is killed again and again at random moments; its
weights and metrics are compared with those of a run that was not. `signals`: the same with SIGTERM, SIGHUP and SIGINT,
which have to end it with a checkpoint and exit code 128 + n. `storage`: a run cannot write more bytes than a limit, as
on a full disk, or its folder is removed under it; other commands have no room either, or a read-only folder. `writers`:
two processes start to train into one folder.

Each case ends in one of these: it was told in one line (and exit code 2), it was harmless (the same values were read),
it was silent (other values were read), a traceback, a hang (more than LIMIT seconds of the processor, or WAIT of the
clock, since others may need the machine too). For groups that start processes, seconds are of the clock.
"""

import contextlib
import csv
import json
import multiprocessing.process
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

import torch
import wrong_words
from measure import RESULTS, expect_committed, start
from rich.console import Console

from digitset.cli import main as cli
from digitset.data.mnist import PACKAGED_CHECKSUM
from digitset.errors import InputError
from digitset.evaluation.evaluate import version
from digitset.files import left_over
from digitset.inference import pretrained
from digitset.network import Experiment
from digitset.run import Run
from digitset.run_folder import LengthScores, RunFolder, SetScores, Summary
from digitset.tasks import load_task
from digitset.training.loop import train

LIMIT = 10  # seconds of the processor
WAIT = 120  # seconds of the clock
MOST_BYTES = 3 << 30  # that a command with wrong words may ask for: a traceback is better than a machine without memory
ENDS = ("told", "harmless", "silent", "traceback", "hang")
COLUMNS = ("group", "case", "n", *ENDS, "slowest_seconds", "most_megabytes")
RUN = Run("sum", "exact", encoder="lenet", steps=40, images_per_step=40, sequences_per_step=20, precision="float32",
          validate_every=20, checkpoint_every=5)  # fmt: skip
GROUPS = ("damage", "malformed", "inputs", "kills", "signals", "storage", "writers")
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class Hang(BaseException):
    """More than LIMIT or WAIT seconds."""


class Outcomes:
    """How often each case of a group ended in each way, and the slowest time."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.counts: dict[str, Counter[str]] = {}
        self.slowest: dict[str, float] = {}
        self.largest: dict[str, int] = {}  # MB of memory, where it was measured
        self.odd: list[str] = []  # what was neither told nor harmless

    def add(self, case: str, outcome: str, seconds: float, what: str = "", times: int = 1, megabytes: int = 0) -> None:
        self.counts.setdefault(case, Counter())[outcome] += times
        self.slowest[case] = max(self.slowest.get(case, 0.0), seconds)
        self.largest[case] = max(self.largest.get(case, 0), megabytes)
        if outcome not in ("told", "harmless"):
            self.odd.append(f"{self.group} {case}: {outcome}: {what}")

    def rows(self) -> Iterator[list[str]]:
        for case, counts in self.counts.items():
            ends = [str(counts[name]) for name in ENDS]
            most = str(self.largest[case] or "")
            yield [self.group, case, str(sum(counts.values())), *ends, f"{self.slowest[case]:.2f}", most]


def main(
    groups: tuple[str, ...] = GROUPS,
    count: int = 2_000,
    kills: int = 20,
    writers: int = 5,
    seed: int = 0,
    out: Path = Path("results/faults.csv"),
) -> None:
    """Makes faults and counts what came of them.

    Args:
        groups: Some of damage, malformed, inputs, kills, signals, storage, writers.
        count: Cases of damage; a fifth as many wrong values in each kind of JSON file, half as many wrong commands.
        kills: How often runs are killed; a fifth as often they get a signal, and as often they have no room.
        writers: How often two processes start on one folder.
        seed: Of the draws.
        out: The CSV to write, in place of the rows of these groups.
    """
    expect_committed(out)
    if wrong := set(groups) - set(GROUPS):
        raise InputError(f"--groups: expected some of {', '.join(GROUPS)}, got {', '.join(wrong)}")
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        makers: dict[str, Callable[[Outcomes], None]] = {
            "damage": lambda outcomes: damage(outcomes, work, draw, count),
            "malformed": lambda outcomes: malformed(outcomes, work, draw, count // 5),
            "inputs": lambda outcomes: inputs(outcomes, work, draw, count // 2),
            "kills": lambda outcomes: killed(outcomes, work, draw, kills),
            "signals": lambda outcomes: signalled(outcomes, work, draw, kills // 5),
            "storage": lambda outcomes: storage(outcomes, work, draw, kills // 5),
            "writers": lambda outcomes: two_writers(outcomes, work, writers),
        }
        for group in groups:
            outcomes = Outcomes(group)
            makers[group](outcomes)
            write(out, outcomes)


def write(out: Path, outcomes: Outcomes) -> None:
    """The rows of one group, in the place of earlier ones."""
    rows, kept = list(outcomes.rows()), list[list[str]]()
    if out.exists():
        with out.open(newline="") as file:
            kept = [[*row, ""][: len(COLUMNS)] for row in list(csv.reader(file))[1:] if row[0] != outcomes.group]
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([list(COLUMNS), *kept, *rows])
    console = Console(markup=False)
    for row in rows:
        console.print(" ".join(row), soft_wrap=True)
    for line in outcomes.odd:
        console.print(line, soft_wrap=True)


def judged(use: Callable[[], object], unchanged: Callable[[object], bool]) -> tuple[str, float, str]:
    """How a use ends, in how many seconds, and what it said."""

    def late(number: int, frame: FrameType | None) -> None:
        raise Hang

    timers = {signal.ITIMER_PROF: (signal.SIGPROF, LIMIT), signal.ITIMER_REAL: (signal.SIGALRM, WAIT)}
    before = {name: signal.signal(name, late) for name, _ in timers.values()}
    for timer, (_, seconds) in timers.items():
        signal.setitimer(timer, seconds)
    began = time.process_time()
    try:
        outcome, what = ("harmless" if unchanged(use()) else "silent"), ""
    except Hang:
        outcome, what = "hang", ""
    except (InputError, OSError) as error:
        what = str(error)
        outcome = "traceback" if "\n" in what else "told"
    except Exception as error:  # anything else would be a traceback
        outcome, what = "traceback", f"{type(error).__name__}: {error}"
    finally:
        for timer, (name, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(name, before[name])
    return outcome, time.process_time() - began, what


def made_run(folder: Path, ended: bool) -> RunFolder:
    """A run with all of its files, whose weights are those before training; or one that ended at a checkpoint."""
    run_folder = RunFolder(folder)
    train_machine = RunFolder(pretrained.FOLDER / "sum/exact").machine()
    run_folder.start(RUN, train_machine, "float32", 1, PACKAGED_CHECKSUM)
    network = Experiment.of(RUN).build()
    for step in range(10, 41 if ended else 31, 10):
        run_folder.add_metrics({"step": step, "split": "train", "loss": 1 / step, "accuracy": step / 100})
        if step == 30:
            run_folder.save_checkpoint({"step": step, "network": network.state_dict()})
    if ended:
        run_folder.finish(network.state_dict(), Summary(40, 1_600, 1.5, 1_066.0, network.parameter_count()))
        part = LengthScores(100, {"accuracy": 0.5})
        scores = SetScores(100, {"accuracy": 0.5}, (0.4, 0.6), dict.fromkeys(range(1, 11), part))
        run_folder.save_scores({"published": scores}, version(load_task("sum")))
    return run_folder


def values_of(folder: Path) -> list[object]:
    """All that is read of a folder, as plain values; raises what reading it raises."""
    run_folder = RunFolder(folder)
    values: list[object] = [run_folder.run(), run_folder.machine(), run_folder.metrics()]
    if run_folder.finished:
        weights = {name: tensor.numpy().tobytes() for name, tensor in run_folder.weights().items()}
        values += [run_folder.summary(), run_folder.scores(version(load_task(run_folder.run().task))), weights]
    if run_folder.has_checkpoint:
        network = run_folder.load_checkpoint()["network"]
        values.append({name: tensor.numpy().tobytes() for name, tensor in network.items()})
    if wrong := [check.words for check in run_folder.check_files() if check.whole is False]:
        raise InputError(wrong[0])
    return values


def damage(outcomes: Outcomes, work: Path, draw: random.Random, count: int) -> None:
    """Files of a run, of an unfinished one and of a published model with a byte or more changed."""
    folders = {
        "a run": made_run(work / "ended", ended=True).path,
        "an unfinished run": made_run(work / "begun", ended=False).path,
        "a published model": shutil.copytree(pretrained.FOLDER / "sum/exact", work / "published"),
    }
    whole = {kind: values_of(folder) for kind, folder in folders.items()}
    cases = [(kind, path) for kind, folder in folders.items() for path in sorted(folder.iterdir())]
    for index in range(count):
        kind, path = cases[index % len(cases)]
        raw = path.read_bytes()
        path.write_bytes(changed(raw, draw))
        outcome, seconds, what = judged(partial(values_of, path.parent), whole[kind].__eq__)
        path.write_bytes(raw)
        outcomes.add(f"{kind}: {path.name}", outcome, seconds, what)


def changed(raw: bytes, draw: random.Random) -> bytes:
    """A file with a bit flipped, another byte, cut off, or a part of it twice; never the same."""
    place = draw.randrange(len(raw))
    kind = draw.choice(("bit", "byte", "cut", "twice"))
    if kind == "cut":
        return raw[:place]
    if kind == "twice":
        return raw[: place + 1] + raw[max(0, place - draw.randrange(200)) :]
    byte = raw[place] ^ (1 << draw.randrange(8) if kind == "bit" else draw.randrange(1, 256))
    return raw[:place] + bytes([byte]) + raw[place + 1 :]


MALFORMED = [b"", b"null", b"[]", b"3", b'"run"', b"{}", b"[" * 100_000, b'{"a": ' * 100_000, b"\xff\xfe", b"{" * 9]
MALFORMED += [b'{"run": ' + b"9" * 5_000 + b"}", b"\xef\xbb\xbf{}", b'{"checksum": []}', b"NaN", b"\0" * 100]
WRONG_VALUES = [None, [], {}, "", -1, 10**30, 1e999, True, [1, 2, 3], {"a": {"b": []}}]


def malformed(outcomes: Outcomes, work: Path, draw: random.Random, count: int) -> None:
    """JSON files that are none, and those in which one value, at any place, is of another kind; so many of each."""
    folder = made_run(work / "malformed", ended=True).path
    whole = values_of(folder)
    for name in ("run.json", "model.json", "scores.json", "metrics.jsonl"):
        path = folder / name
        raw = path.read_bytes()
        for content in MALFORMED:
            path.write_bytes(content)
            outcomes.add(f"{name}: other content", *judged(partial(values_of, folder), whole.__eq__))
        wrong = list(wrong_values(raw)) if name.endswith(".json") else []
        for content in draw.sample(wrong, min(count, len(wrong))):
            path.write_bytes(content)  # some values can also be of the other kind; then this is another valid file
            outcomes.add(f"{name}: a wrong value", *judged(partial(values_of, folder), lambda values: True))
        path.write_bytes(raw)


def wrong_values(raw: bytes) -> Iterator[bytes]:
    """A JSON file as older versions wrote it, without checksums, with one value replaced or left out."""
    values = {name: value for name, value in json.loads(raw).items() if name not in ("checksum", "files")}

    def places(inner: object, way: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name, value in inner.items() if isinstance(inner, dict) else ():
            yield (*way, name)
            yield from places(value, (*way, name))

    for way in list(places(values, ())):
        for wrong in (*WRONG_VALUES, ...):
            copy = inner = json.loads(json.dumps(values))
            for name in way[:-1]:
                inner = inner[name]
            if wrong is ...:
                del inner[way[-1]]
            else:
                inner[way[-1]] = wrong
            yield json.dumps(copy).encode()


def inputs(outcomes: Outcomes, work: Path, draw: random.Random, count: int) -> None:
    """Every command with words that are wrong, each in a process and an empty folder of its own.

    A command that ends well although a word is wrong beyond doubt was silent. One that was told leaves no file that is
    half written.
    """
    (work / "words").mkdir()
    files = wrong_words.Files(work / "words", made_run(work / "of words", ended=True).path)
    for name, case in wrong_words.cases(files, draw, count):
        here = Path(tempfile.mkdtemp(dir=work))
        code, told, seconds, megabytes = command(case.words, here)
        half = [path.name for path in here.rglob(".*") if left_over(path.name)]
        what = f"{case.words} code {code} {half or ''} {told[-300:]}"
        outcome = outcome_of(code, told, case.hopeless or bool(half))
        label = name if outcome != "harmless" else f"{name}, done as asked"
        outcomes.add(label, outcome, seconds, what, megabytes=megabytes)
        shutil.rmtree(here)


def outcome_of(code: int, told: str, wrong: bool) -> str:
    """How a command ended, from its exit code and what it wrote to stderr; `wrong` if it must not end well."""
    if code == -signal.SIGKILL:
        return "hang"
    lines = told.strip().splitlines()  # there may be notes before the error
    by_us = bool(lines) and all(line.startswith("digitset: ") for line in lines)
    by_tyro = "For full helptext" in told  # the parser of arguments has a form of its own
    if code == 0:
        return "silent" if wrong else "harmless"
    return "told" if (code == 2 and (by_us or by_tyro)) or (code == 1 and by_us) else "traceback"


def command(words: list[str], folder: Path) -> tuple[int, str, float, int]:
    """Runs a command in a copy of this process, in a folder: torch need not be imported each time.

    Its exit code (negative: the signal that ended it, SIGKILL if it took too long), what it wrote to stderr, seconds of
    the processor and the most memory in MB, both with the processes that it started; a copy begins with this one's.
    """
    told = folder.parent / f"{folder.name}.stderr"
    child = os.fork()
    if not child:
        become(words, folder, told)
    began, done, status = time.monotonic(), 0, 0
    usage = resource.getrusage(resource.RUSAGE_SELF)
    while not done:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if not done and time.monotonic() - began > WAIT:
            with contextlib.suppress(ProcessLookupError):  # it has not begun, and is no group yet
                os.killpg(child, signal.SIGKILL)
        time.sleep(0.005)
    said = told.read_text(errors="replace")
    told.unlink()
    return os.waitstatus_to_exitcode(status), said, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 // 10**6


def become(words: list[str], folder: Path, told: Path) -> NoReturn:
    """Makes this process a command, with bounds on the time and memory that it may take."""
    os.setsid()
    os.chdir(folder)
    # where processes begin that it starts
    multiprocessing.process.ORIGINAL_DIR = str(folder)  # pyright: ignore[reportAttributeAccessIssue]
    os.environ["HF_HUB_OFFLINE"] = "1"
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT))
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
    for number, path in enumerate((os.devnull, os.devnull, told)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    sys.argv, code = ["digitset", *words], 0
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", errors="backslashreplace")
    try:
        cli.main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code)


def killed(outcomes: Outcomes, work: Path, draw: random.Random, kills: int) -> None:
    """A run that is killed at random moments, and goes on each time, until it is finished; then from the start.

    The moments are up to twice as late as a process begins to train, so that about half of them are before. Each kill
    of a run counts as the run ends, since only its end shows what they did; seconds are of a run with all of its kills.
    """
    straight, done, runs = train(RUN, work / "straight", progress=False), 0, 0
    while done < kills:
        folder, began, start, before = work / f"killed{runs}", time.perf_counter(), 0.0, done
        runs += 1
        while not RunFolder(folder).finished:
            launched = time.perf_counter()
            with begun(folder) as process:
                passed = time.perf_counter() - launched
                start = start or passed
                if done >= kills or ended_within(process, max(0.0, draw.uniform(0.0, 2 * start) - passed)):
                    process.wait()
                    continue
                process.kill()
                done += 1
        outcome = "harmless" if alike(RunFolder(folder), straight) else "silent"
        outcomes.add("kills", outcome, time.perf_counter() - began, times=done - before)


def signalled(outcomes: Outcomes, work: Path, draw: random.Random, count: int) -> None:
    """A run that gets a signal at a random moment, ends at a checkpoint, and goes on to the same end."""
    straight = train(RUN, work / "unsignalled", progress=False)
    for index in range(count):
        number, folder, began = SIGNALS[index % len(SIGNALS)], work / f"signal{index}", time.perf_counter()
        with begun(folder) as process:
            early = ended_within(process, draw.uniform(0.0, 1.0))
            process.send_signal(number)
            code, told = process.wait(), read_all(process)
        expected = code == 128 + number and told.count("\n") <= 1 and RunFolder(folder).has_checkpoint
        if not RunFolder(folder).finished:
            with begun(folder) as process:
                process.wait()
        right = (early or expected) and alike(RunFolder(folder), straight)
        what = f"code {code}: {told}"
        outcomes.add(number.name, "told" if right else "silent", time.perf_counter() - began, what)


def storage(outcomes: Outcomes, work: Path, draw: random.Random, count: int) -> None:
    """A run that cannot write, and commands that cannot: what they would replace stays, and nothing is half written."""
    without_room(outcomes, work, draw, count)
    run = made_run(work / "stored", ended=True).path
    one_cell = "bench --tasks sum --models constant --steps 1 --seeds 1 --longest 1 --out out"
    uses = {  # a command, and bytes that are about those of its largest file
        "publish": (["publish", str(run), "out"], 250_000),
        "export": (["export", "sum/exact", "out/model.onnx"], 500_000),
        "report": (["report", "out"], (RESULTS / "bench/report.html").stat().st_size),
        "bench": (one_cell.split(), 20_000),
    }
    for index in range(count):
        for name, (words, most) in uses.items():
            here = work / f"{name}{index}"
            out = here / "out"
            shutil.copytree(RESULTS / "bench", out) if name == "report" else out.mkdir(parents=True)
            before = {path: path.read_bytes() for path in out.iterdir()}
            read_only = index % 2 == 0
            began = time.perf_counter()
            code, told = _with_little(words, here, None if read_only else draw.randrange(most), read_only)
            out.chmod(0o700)
            kept = all(path.exists() and path.read_bytes() == content for path, content in before.items())
            whole = not [path for path in out.rglob(".*") if left_over(path.name)]
            outcome = outcome_of(code, told, read_only)
            outcome = outcome if whole and (kept or code == 0) else "silent"
            case = f"{name}: {'read-only folder' if read_only else 'no room'}"
            outcomes.add(case, outcome, time.perf_counter() - began, f"code {code} {kept} {whole}: {told[-300:]}")


def _with_little(words: list[str], here: Path, most_bytes: int | None, read_only: bool) -> tuple[int, str]:
    """Runs a command in a folder, with files of so many bytes at most, or with `out` in it read-only.

    Root may write everywhere, so it gives its rights away. Returns the exit code and what was told.
    """
    words = [sys.executable, "-m", "digitset", *words]
    if read_only:
        (here / "out").chmod(0o500)
        if os.geteuid() == 0:
            words = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", *words]
    prepare = partial(_limit, most_bytes)
    done = subprocess.run(
        words, cwd=here, capture_output=True, text=True, check=False, preexec_fn=prepare, timeout=WAIT
    )
    return done.returncode, done.stderr


def _limit(most_bytes: int | None) -> None:
    """What a process does before it becomes a command."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # it is ignored where this program was started by nohup
    if most_bytes is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that writing fails, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))


def without_room(outcomes: Outcomes, work: Path, draw: random.Random, count: int) -> None:
    """A run that may write files of so many bytes only, or loses its folder: told in one line; it goes on with room."""
    straight = train(RUN, work / "roomy", progress=False)
    largest = max(path.stat().st_size for path in straight.path.iterdir())
    for index in range(count):
        folder, began = work / f"storage{index}", time.perf_counter()
        case, limit = ("no room", draw.randrange(largest)) if index % 2 else ("removed folder", None)
        with begun(folder, limit) as process:
            if limit is None and not ended_within(process, draw.uniform(0.0, 1.0)):
                shutil.rmtree(folder, ignore_errors=True)
            code, told = process.wait(), read_all(process)
        in_one_line = code == 2 and told.count("\n") == 1
        if limit is not None and not RunFolder(folder).finished:
            with begun(folder) as process:
                process.wait()
        right = alike(RunFolder(folder), straight) if RunFolder(folder).finished else in_one_line
        outcome = "traceback" if "Traceback" in told else ("told" if in_one_line else "harmless") if right else "silent"
        outcomes.add(case, outcome, time.perf_counter() - began, f"code {code}: {told[-300:]}")


@contextlib.contextmanager
def begun(folder: Path, most_bytes: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process that trains RUN into a folder, or goes on with it, from when it has begun; what it tells is kept."""
    words = [sys.executable, "-m", "digitset", *RUN.command().split()[1:], "--resume", "--out", str(folder)]
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=partial(_limit, most_bytes)
    )
    while process.poll() is None and not RunFolder(folder).exists:
        time.sleep(0.01)
    try:
        yield process
    finally:
        process.communicate()


def ended_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.poll() is not None


def read_all(process: subprocess.Popen[bytes]) -> str:
    return "" if process.stderr is None else process.stderr.read().decode()


def alike(run_folder: RunFolder, straight: RunFolder) -> bool:
    """Whether weights and metrics of two finished runs are the same, bit for bit."""
    same = all(torch.equal(a, b) for a, b in zip(weights(run_folder), weights(straight), strict=True))
    return same and without_times(run_folder) == without_times(straight)


def weights(run_folder: RunFolder) -> list[torch.Tensor]:
    return [tensor for _, tensor in sorted(run_folder.weights().items())]  # a file is read in no certain order


def without_times(run_folder: RunFolder) -> list[dict[str, object]]:
    times = ("seconds", "images_per_second")
    return [{name: value for name, value in line.items() if name not in times} for line in run_folder.metrics()]


def two_writers(outcomes: Outcomes, work: Path, count: int) -> None:
    """Two processes of two seeds that start together: one trains, the other is told in one line."""
    for index in range(count):
        folder, began = work / f"writers{index}", time.perf_counter()
        words = [sys.executable, "-m", "digitset", *RUN.command().split()[1:], "--out", str(folder), "--seed"]
        both = [subprocess.Popen([*words, seed], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) for seed in "01"]
        errors = [process.communicate()[1].decode() for process in both]
        codes = [process.returncode for process in both]
        clean = not [check for check in RunFolder(folder).check_files() if check.whole is False]
        winner = str(RunFolder(folder).run().seed)
        refused = sorted(codes) == [0, 2] and codes["01".index(winner)] == 0 and max(errors).count("\n") == 1
        outcomes.add("writers", "told" if refused and clean else "silent", time.perf_counter() - began, max(errors))


if __name__ == "__main__":
    start(main)
