"""Files that something damaged, folders that two processes write, and paths that are no files: one line each time."""

import contextlib
import gzip
import json
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import wrong_words
from conftest import Outcome, without_checksums
from faults import Outcomes, changed, command, outcome_of

from digitset import files
from digitset.bench.grid import read_grids
from digitset.cli.main import COMMANDS
from digitset.data.mnist import load_data
from digitset.device import Machine
from digitset.errors import InputError
from digitset.evaluation.evaluate import evaluate_run_folder
from digitset.files import locked, write_whole
from digitset.inference import pretrained
from digitset.inference.onnx_runtime import ZEROS, OnnxPredictor, with_checksum
from digitset.inference.publish import publish
from digitset.network import Experiment
from digitset.pictures.ask import read_all
from digitset.run import Run
from digitset.run_folder import LengthScores, RunFolder, SetScores, Summary

RUN = Run("sum", "exact", encoder="lenet", steps=40, checkpoint_every=20)
MACHINE = Machine("cpu", "a processor", 1, 2, "Linux", "3.11", "2.15", "0.2.0", None)
RESULTS = Path(__file__).parent.parent / "results"
HERE = ("run.json", "metrics.jsonl", "model.json", "model.safetensors", "scores.json")


def unfinished(folder: Path) -> RunFolder:
    """A run of 40 steps that was killed at step 30, ten steps after its checkpoint."""
    run_folder = RunFolder(folder)
    run_folder.start(RUN, MACHINE, "float32", 1, "0" * 64)
    for step in (10, 20, 30):
        run_folder.add_metrics({"step": step, "split": "train", "loss": 1 / step, "accuracy": step / 100})
        if step == 20:
            run_folder.save_checkpoint({"step": step})
    return run_folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_folder = unfinished(tmp_path_factory.mktemp("runs") / "run")
    run_folder.add_metrics({"step": 40, "split": "val", "accuracy": 0.5, "mse": 1.0})
    network = Experiment.of(RUN).build()
    run_folder.finish(network.state_dict(), Summary(40, 10_240, 1.5, 6_827.0, network.parameter_count()))
    scores = SetScores(100, {"accuracy": 0.5}, (0.4, 0.6), {10: LengthScores(100, {"accuracy": 0.5})})
    run_folder.save_scores({"published": scores}, {"task": 1, "evaluation": 5})
    return run_folder.path


def damaged(folder: Path) -> list[str]:
    return [check.name for check in RunFolder(folder).check_files() if check.whole is False]


def same_values(one: bytes, other: bytes) -> bool:
    """Whether two JSON files differ by white space alone."""
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return False


def test_wrong_words_reach_every_option_of_every_command(finished: Path, tmp_path: Path) -> None:
    """What `benchmarks/faults.py` gives to commands by the thousand; here, two of each command are given."""
    (tmp_path / "words").mkdir()
    words = wrong_words.Files(tmp_path / "words", finished)
    for name in COMMANDS:
        arguments = list(wrong_words.arguments_of(name, words))
        single = list(wrong_words.single_mistakes(name, arguments, words))
        given = {word for case in single for word in case.words}
        assert {f"--{argument.name}" for argument in arguments if not argument.positional} <= given
        assert [case.words[0] for case in single] == [name] * len(single)
        few = random.Random(1).sample([case for case in single if case.hopeless], 2)
        for case in few:
            (here := tmp_path / "here").mkdir()
            code, told, _, megabytes = command(case.words, here)
            assert outcome_of(code, told, wrong=True) == "told", (case.words, code, told)
            assert megabytes > 100
            shutil.rmtree(here)


def test_each_kill_of_a_run_counts() -> None:
    outcomes = Outcomes("kills")
    outcomes.add("kills", "harmless", 1.0, times=5)
    outcomes.add("kills", "silent", 2.0, times=2)
    assert list(outcomes.rows()) == [["kills", "kills", "7", "0", "5", "2", "0", "0", "2.00", ""]]


def test_a_folder_is_whole_as_it_was_written(finished: Path, tmp_path: Path) -> None:
    assert {check.name: check.words for check in RunFolder(finished).check_files()} == dict.fromkeys(HERE, "whole")
    checks = unfinished(tmp_path / "run").check_files()
    assert [(check.name, check.words) for check in checks] == [
        (name, "whole") for name in ("checkpoint", "metrics.jsonl", "run.json")
    ]


@pytest.mark.parametrize("name", HERE)
def test_no_damage_of_a_finished_run_is_silent(finished: Path, tmp_path: Path, name: str) -> None:
    draw = random.Random(name)
    copy = shutil.copytree(finished, tmp_path / "run")
    raw = (finished / name).read_bytes()
    for _ in range(40):
        faulty = changed(raw, draw)
        (copy / name).write_bytes(faulty)
        assert damaged(copy) or (name in ("model.json", "scores.json") and same_values(faulty, raw))


@pytest.mark.parametrize("name", ["run.json", "metrics.jsonl", "checkpoint"])
def test_no_damage_of_an_unfinished_run_is_silent(tmp_path: Path, name: str) -> None:
    """But for lines after the checkpoint, whose steps are made again."""
    draw = random.Random(name)
    path = unfinished(tmp_path / "run").path / name
    raw = path.read_bytes()
    for _ in range(40):
        path.write_bytes(changed(raw, draw))
        if not damaged(path.parent):
            lines = [line for line in raw.splitlines() if json.loads(line)["step"] <= 20] if "metrics" in name else []
            kept = path.read_bytes().splitlines()[: len(lines)]
            assert same_values(path.read_bytes(), raw) or (lines and kept == lines)


MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "a number": b"3",
    "a text": b'"run"',
    "an empty object": b"{}",
    "levels without end": b"[" * 100_000,
    "levels in a key": b'{"run": ' + b'{"a": ' * 100_000,
    "a long integer": b'{"run": ' + b"9" * 5_000 + b"}",
    "no text": b"\xff\xfe\x00",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "cut off": b'{"run": {"task": "su',
    "other keys": b'{"walk": 1, "checksum": "0"}',
}
USES: dict[str, Callable[[RunFolder], Any]] = {
    "run.json": lambda run_folder: run_folder.network(),
    "model.json": lambda run_folder: run_folder.summary(),
    "scores.json": lambda run_folder: run_folder.scores({"task": 1}),
}


@pytest.mark.parametrize("name", USES)
@pytest.mark.parametrize("kind", MALFORMED)
def test_what_is_not_the_expected_json_is_one_line(finished: Path, tmp_path: Path, name: str, kind: str) -> None:
    copy = shutil.copytree(finished, tmp_path / "run")
    (copy / name).write_bytes(MALFORMED[kind])
    with pytest.raises(InputError) as said:
        USES[name](RunFolder(copy))
    assert str(copy / name) in str(said.value)
    assert "\n" not in str(said.value)
    assert len(str(said.value)) < 400


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("machine", "precision"), "bfloat06", "machine.precision: invalid enum value 'bfloat06'"),
        (("machine", "threads"), "2", "machine.threads: expected int, got str"),
        (("run", "lengths"), [1, 2, 3], "lengths: expected"),
        (("run", "steps"), 10**26, "--steps: expected at most"),
        (("run", "model_options"), {"hidden": []}, "--model-options: expected a dict of names"),
        (("data",), None, "data: expected str, got null"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(
    finished: Path, tmp_path: Path, place: tuple[str, ...], value: object, words: str
) -> None:
    path = without_checksums(shutil.copytree(finished, tmp_path / "run")) / "run.json"
    values = inner = json.loads(path.read_text())
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match=words) as said:
        RunFolder(path.parent).run()
    assert str(path) in str(said.value)


@pytest.mark.parametrize(
    ("name", "place", "value", "words"),
    [
        ("scores.json", ("sets", "published", "scores", "accuracy"), 7, "accuracy from 0 to 1"),
        ("scores.json", ("sets", "published", "scores", "accuracy"), float("nan"), "accuracy from 0 to 1"),
        ("scores.json", ("sets", "published", "by_length", "10", "accuracy"), -0.5, "accuracy from 0 to 1"),
        ("scores.json", ("sets", "published", "by_length", "10", "n"), -100, "a whole number n of at least 0"),
        ("scores.json", ("sets", "published", "interval"), [0.6, 0.4], "an interval from 0 to 1, got 0.6 to 0.4"),
        ("scores.json", ("sets", "published", "interval"), [0.4, 1.4], "an interval from 0 to 1, got 0.4 to 1.4"),
        ("scores.json", ("sets", "published", "n"), -100, "n: expected `?int`? >= 0"),
        ("model.json", ("train_seconds",), -1.0, "train_seconds: expected `?float`? >= 0"),
        ("model.json", ("images_per_second",), float("nan"), "images_per_second: expected `?float`? >= 0"),
    ],
)
def test_values_that_cannot_be_are_named_though_their_checksum_is_right(
    finished: Path, tmp_path: Path, name: str, place: tuple[str, ...], value: object, words: str
) -> None:
    path = shutil.copytree(finished, tmp_path / "run") / name
    values = inner = json.loads(path.read_text())
    del values["checksum"]
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path.write_bytes(files.to_json(values))
    (wrong,) = [check for check in RunFolder(path.parent).check_files() if check.name == name]
    assert wrong.whole is False
    assert re.search(words, wrong.words)
    assert str(path) in wrong.words


@pytest.mark.parametrize("values", [{"accuracy": 7.0}, {"accuracy": -1.0}, {"step": -1, "accuracy": 0.5}])
def test_metrics_that_cannot_be_are_named_though_their_check_is_right(tmp_path: Path, values: dict[str, Any]) -> None:
    run_folder = unfinished(tmp_path / "run")
    run_folder.add_metrics({"step": 40, "split": "val"} | values)
    with pytest.raises(InputError, match=r"line 4: expected a step of at least 0 and an accuracy from 0 to 1"):
        RunFolder(run_folder.path).metrics()


def test_damage_amid_the_metrics_drops_no_line_when_a_run_goes_on(tmp_path: Path) -> None:
    path = unfinished(tmp_path / "run").path / "metrics.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"step": 10', b'"step": 11'))
    before = path.read_bytes()
    with pytest.raises(InputError, match="line 1: damaged"):
        RunFolder(path.parent).drop_metrics_after(20)
    assert path.read_bytes() == before


def test_what_older_versions_wrote_is_read(finished: Path, tmp_path: Path) -> None:
    old = RunFolder(without_checksums(shutil.copytree(finished, tmp_path / "run")))
    new = RunFolder(finished)
    assert (old.run(), old.machine(), old.summary(), old.metrics()) == (
        (new.run(), new.machine(), new.summary(), new.metrics())
    )
    assert old.scores({"task": 1, "evaluation": 5}) == new.scores({"task": 1, "evaluation": 5}) is not None
    words = {check.name: check.words for check in old.check_files()}
    assert words.pop("model.safetensors") == "whole"
    assert all("older versions" in each for each in words.values())


def test_an_older_run_goes_on_with_checks(tmp_path: Path) -> None:
    folder = without_checksums(unfinished(tmp_path / "run").path)
    run_folder = RunFolder(folder)
    run_folder.drop_metrics_after(20)
    run_folder.add_metrics({"step": 30, "note": "a longer way"})
    run_folder.add_metrics({"step": 40, "note": "and on"})
    assert [line["step"] for line in RunFolder(folder).metrics()] == [10, 20, 30, 40]
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text("".join([*lines[:2], *lines[3:]]))
    with pytest.raises(InputError, match="line 3: damaged"):
        RunFolder(folder).metrics()


@pytest.mark.parametrize(("name", "value"), [("weight", float("nan")), ("weight", float("inf")), ("running_var", -1.0)])
def test_weights_are_finite_and_variances_not_negative(tmp_path: Path, name: str, value: float) -> None:
    run_folder = unfinished(tmp_path / "run")
    experiment = Experiment.of(Run("classify", "mlp"))
    weights = experiment.build().state_dict()
    key = next(key for key in weights if key.endswith(name))
    weights[key].view(-1)[-1] = value
    run_folder.finish(weights, Summary(1, 1, 1.0, 1.0, 1))
    with pytest.raises(InputError, match=f"expected finite weights and variances of at least 0; {key}"):
        run_folder.weights()


@pytest.mark.parametrize(("value", "dtype"), [(3e38, torch.float32), (-6e4, torch.float16)])
def test_finite_weights_are_read_though_their_sum_is_too_large(
    tmp_path: Path, value: float, dtype: torch.dtype
) -> None:
    run_folder = unfinished(tmp_path / "run")
    weights = {"weight": torch.full((64, 64), value, dtype=dtype)}
    assert not weights["weight"].sum().isfinite()
    run_folder.finish(weights, Summary(1, 1, 1.0, 1.0, 1))
    assert torch.equal(run_folder.weights()["weight"], weights["weight"])


COUNT = "import collections, sys; from pathlib import Path; import digitset; opened = collections.Counter()\n"
COUNT += "sys.addaudithook(lambda event, of: opened.update([Path(str(of[0])).name]) if event == 'open' else None)\n"
COUNT += "digitset.load(sys.argv[1], 'cpu'); print([opened[name] for name in sys.argv[2:]])"


def test_load_reads_its_files_to_decode_them_once_and_once_for_their_hash(finished: Path) -> None:
    names = ["run.json", "model.json", "model.safetensors", "scores.json", "metrics.jsonl"]
    command = [sys.executable, "-c", COUNT, str(finished), *names]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[2, 2, 1, 0, 0]\n"


HOLD = "import sys, time; from pathlib import Path; from digitset.files import locked\n"
HOLD += "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"


def test_one_process_writes_a_folder_and_a_killed_one_holds_none(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(InputError, match=rf"another process \({other.pid} on .*\) is at work there"),
            locked(tmp_path),
        ):
            pass
    finally:
        other.kill()
        other.communicate()
    with locked(tmp_path), pytest.raises(InputError, match=f"{os.getpid()}"), locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_another_process_trains_in_is_left_alone(tmp_path: Path, command: Callable[..., Outcome]) -> None:
    run_folder = unfinished(tmp_path / "run")
    left = run_folder.path / ".checkpoint.1"
    left.write_bytes(b"half a checkpoint")
    before = {path.name: path.read_bytes() for path in run_folder.path.iterdir()}
    words = ["--model", "exact", "--encoder", "lenet", "--steps", "40", "--checkpoint-every", "20", "--resume", "--out"]
    with locked(run_folder.path):
        told = command("train", "sum", *words, run_folder.path)
        assert {path.name: path.read_bytes() for path in run_folder.path.iterdir() if path.name != ".lock"} == before
    assert told.code == 2
    assert told.errors.count("\n") == 1
    with run_folder.training():
        assert not left.exists()


def benchmark(folder: Path) -> Path:
    """The tables of the benchmark in results/, without its runs."""
    shutil.copytree(RESULTS / "bench", folder, ignore=shutil.ignore_patterns("report.*", "runs"))
    return folder


WRITERS: dict[str, tuple[tuple[str, ...], str]] = {  # a command, of which {} is the folder it writes; what it writes
    "evaluate": (("evaluate", "{}"), "scores.json"),
    "lengths": (("lengths", "classify/mlp", "--out", "{}"), "lengths.csv"),
    "report": (("report", "{}"), "report.html"),
    "compare": (("compare", "--quick", "--tasks", "classify", "--models", "mlp", "--out", "{}"), "report.md"),
}


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs signals that stop a process")
@pytest.mark.parametrize("kind", WRITERS)
def test_of_two_processes_that_write_into_a_folder_the_second_is_told_of_the_first(tmp_path: Path, kind: str) -> None:
    """The first is halted as soon as it has the lock, and goes on when the second has ended."""
    words, wanted = WRITERS[kind]
    folder = tmp_path / "folder"
    if kind == "evaluate":
        shutil.copytree(pretrained.FOLDER / "classify/mlp", folder, ignore=shutil.ignore_patterns("scores.json"))
    if kind == "report":
        benchmark(folder)
    command = [sys.executable, "-m", "digitset", *(word.format(folder) for word in words)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as first:
        while first.poll() is None and not holds(folder, first):
            time.sleep(0.001)
        first.send_signal(signal.SIGSTOP)
        try:
            assert not (folder / wanted).exists()
            second = subprocess.run(command, capture_output=True, text=True, timeout=200)
        finally:
            first.send_signal(signal.SIGCONT)
        assert first.communicate(timeout=200)[1].count("Traceback") == 0
    assert (first.returncode, second.returncode) == (0, 2)
    assert second.stderr.count("\n") == 1
    assert f"another process ({first.pid} on " in second.stderr
    assert (folder / wanted).exists()
    assert not (folder / ".lock").exists()


def holds(folder: Path, process: "subprocess.Popen[str]") -> bool:
    """Whether a process has the lock of a folder, as it wrote there itself."""
    try:
        return f"({process.pid} on" in (folder / ".lock").read_text()
    except FileNotFoundError:
        return False


def test_scores_that_are_there_are_read_while_another_process_writes(finished: Path) -> None:
    run_folder = RunFolder(finished)
    with locked(finished):
        assert evaluate_run_folder(run_folder, load_data()) == run_folder.scores({"task": 1, "evaluation": 5})


def test_a_killed_publication_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at each of its writes, before the file is moved into place."""
    out, replace = tmp_path / "out", Path.replace
    for kill_at in range(5):
        count = 0

        def killed(path: Path, target: Path, kill_at: int = kill_at) -> Path:
            nonlocal count
            if count == kill_at:
                raise KeyboardInterrupt
            count += 1
            return replace(path, target)

        with monkeypatch.context() as patched, contextlib.suppress(KeyboardInterrupt):
            patched.setattr(Path, "replace", killed)
            patched.setattr(Path, "unlink", lambda path, missing_ok=False: None)  # nor does a killed process tidy up
            publish("classify/mlp", out)
    assert damaged(out) != []
    publish("classify/mlp", out)
    assert damaged(out) == []
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []


def test_another_model_never_answers_for_a_damaged_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copytree(pretrained.FOLDER, tmp_path / "pretrained")
    monkeypatch.setattr(pretrained, "FOLDER", copy)
    whole = pretrained.find("sum")
    assert whole is not None
    (whole / "model.json").unlink()
    with pytest.raises(InputError, match="install the package again"):
        pretrained.find("sum")


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe.png")
    return tmp_path / "pipe.png"


def test_only_regular_files_are_read_and_written_over(pipe: Path) -> None:
    """A pipe would be waited for without end, a device read without end."""
    zero = Path("/dev/zero")
    uses: list[Callable[[], object]] = [
        lambda: read_all([str(pipe)], None, split=False),
        lambda: read_grids(pipe),
        lambda: read_grids(zero),
        lambda: OnnxPredictor(pipe),
        lambda: OnnxPredictor(zero),
        lambda: write_whole(pipe, b""),
        lambda: write_whole(Path("/dev/null"), b""),
        lambda: files.read_json(zero, dict),
    ]
    for use in uses:
        with pytest.raises(InputError, match=r"found a (pipe|device)"):
            use()
    assert Path("/dev/null").is_char_device()


def test_a_file_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "grid.toml").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="of at most 1,048,576 bytes, found more"):
        read_grids(tmp_path / "grid.toml")


def test_a_folder_of_too_many_pictures_is_refused_unread(tmp_path: Path) -> None:
    for index in range(1_001):
        (tmp_path / f"{index}.png").touch()
    with pytest.raises(InputError, match="expected at most 1,000 pictures, found 1,001"):
        read_all([str(tmp_path)], None, split=False)


@pytest.mark.parametrize(("says", "words"), [((60_000, 28, 28), "too long"), ((2**31, 28, 28), "at most")])
def test_gzip_that_unpacks_to_gigabytes(tmp_path: Path, says: tuple[int, ...], words: str) -> None:
    header = bytes((0, 0, 8, 3)) + struct.pack(">3I", *says)
    with gzip.open(tmp_path / "train-images-idx3-ubyte.gz", "wb", compresslevel=1) as file:
        file.write(header)
        for _ in range(8):
            file.write(bytes(16 << 20))
    for name in ("train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (tmp_path / name).write_bytes(
            bytes((0, 0, 8, 1 if "labels" in name else 3)) + bytes(4 if "labels" in name else 12)
        )
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=words):
            load_data(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[grid]]\ntasks = ['sum']\nmodels = ['exact']\nseeds = 1000000", "seeds: expected at most 1,000"),
        (
            "[[grid]]\ntasks = ['sum']\nmodels = ['exact']\nsteps = 1" + 26 * "0",
            "--steps: expected at most 1,000,000,000",
        ),
        (
            "[[grid]]\ntasks = ['sum']\nmodels = ['exact']\nmax_grad_norm = inf",
            "--max-grad-norm: expected a finite number",
        ),
        ("[[grid]]\ntasks = ['sum']\nmodels = ['exact']\nsteps = " + 5_000 * "9", "not readable as TOML"),
        ("a = " + "[" * 20_000, "not readable as TOML"),
    ],
)
def test_absurd_grids_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "grid.toml").write_text(text)
    with pytest.raises(InputError, match=words):
        read_grids(tmp_path / "grid.toml")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("steps", 2.5, "--steps: expected a whole number, got 2.5"),
        ("steps", True, "--steps: expected a whole number"),
        ("sequences_per_step", 10**30, "--sequences-per-step: expected at most 1,000,000"),
        ("seed", 10**40, "--seed: expected at most .* got a number of more than 30 digits"),
        ("learning_rate", float("inf"), "--learning-rate: expected a finite number"),
        ("weight_decay", float("nan"), "--weight-decay: expected a finite number"),
        ("augmentation_strength", float("inf"), "--augmentation-strength: expected a finite number"),
        ("training_sequences", 1.0, "--training-sequences: expected a whole number"),
        ("lengths", (1, 10**9), "--lengths: expected"),
    ],
)
def test_numbers_of_a_run_have_bounds(name: str, value: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Run("sum", **{name: value})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("lengths", (1.5, 3), "--lengths: expected two whole numbers or None, got (1.5, 3)"),
        ("lengths", 5, "--lengths: expected two whole numbers or None, got 5"),
        ("lengths", (1, 2, 3), "--lengths: expected two whole numbers"),
        ("model", None, "--model: expected a text, got None"),
        ("encoder", Path("my.py"), "--encoder: expected a text, got "),
        ("device", 0, "--device: expected a text, got 0"),
        ("steps", "5", "--steps: expected a whole number, got '5'"),
        ("learning_rate", 10**309, "--learning-rate: expected a finite number, got a number of more than 30 digits"),
        ("model_options", None, "--model-options: expected a dict of names and numbers or texts, got None"),
        ("model_options", {"hidden": None}, "--model-options: expected a dict of names and numbers or texts"),
        ("data", 3, "--data: expected a path or None, got 3"),
        ("transpose", 1, "--transpose: expected True or False, got 1"),
    ],
)
def test_values_of_a_run_have_their_types(name: str, value: Any, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        Run("sum", **{name: value})


def test_a_run_takes_what_stands_for_a_value_in_json() -> None:
    values: dict[str, Any] = {"lengths": [2, 3], "data": "elsewhere", "model_options": {"hidden": 8}}
    run = Run("sum", learning_rate=1, **values)
    values["model_options"]["hidden"] = 9  # of the caller's own dict, which the run does not share
    expected = Run("sum", learning_rate=1.0, lengths=(2, 3), data=Path("elsewhere"), model_options={"hidden": 8})
    assert repr(run) == repr(expected)
    assert run == expected == Run.from_json(run.to_json())


def test_onnx_bytes_that_changed_are_told(tmp_path: Path) -> None:
    """Of a file that is no model: its checksum is compared before anything else is done with it."""
    content = with_checksum(b"graph \x0a\x08checksum\x12\x40" + ZEROS + b" weights")
    for place in (0, 50, len(content) - 1):
        faulty = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        (tmp_path / "model.onnx").write_bytes(faulty)
        with pytest.raises(InputError, match="damaged: its bytes do not have the checksum"):
            OnnxPredictor(tmp_path / "model.onnx")
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(InputError, match="not an ONNX model"):
        OnnxPredictor(tmp_path / "model.onnx")


def test_verify_passes_over_no_run_of_a_folder(finished: Path, tmp_path: Path, command: Callable[..., Outcome]) -> None:
    """Also of one that lost the file by which runs are known."""
    told = command("verify", tmp_path)
    assert (told.code, told.output) == (2, "")
    assert "expected the folder of a run or of several" in told.errors
    for name in ("one", "other"):
        shutil.copytree(finished, tmp_path / name)
    assert command("verify", tmp_path).code == 0
    (tmp_path / "other/run.json").unlink()
    told = command("verify", tmp_path)
    assert told.code == 2
    assert f"{tmp_path / 'other'}" in told.errors


def test_names_are_never_markup(
    finished: Path, tmp_path: Path, command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "[" / "b] :smile:"
    shutil.copytree(finished, folder)
    (folder / "scores.json").unlink()
    monkeypatch.chdir(tmp_path)
    told = command("show", "[/b] :smile:")
    assert told.code == 0
    assert "digitset evaluate [/b] :smile:" in told.output
    told = command("verify", "[/b] :smile:")
    assert told.code == 0
    assert told.output.count("whole") == 4
    raw = (folder / "model.json").read_bytes()
    (folder / "model.json").write_bytes(raw.replace(b"40", b"41"))
    told = command("verify", "[/b] :smile:")
    assert told.code == 2
    assert "damaged files: 3 of 4:" in told.errors
    assert told.errors.count("\n") == 1


def test_output_that_can_hold_ascii_alone(finished: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    shown = subprocess.run(
        [sys.executable, "-m", "digitset", "show", str(finished)], env=environment, capture_output=True, check=False
    )
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert b"train loss      #" in shown.stdout


def test_the_reader_of_help_may_go_early() -> None:
    line = f"{sys.executable} -m digitset --help | head -1"
    told = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    assert told.stdout.startswith("usage: digitset")
    assert told.stderr == ""


def test_an_empty_value_is_refused(command: Callable[..., Outcome]) -> None:
    told = command("train", "sum", "--out", "")
    assert told.code == 2
    assert told.errors == "digitset: expected a value after --out, got an empty one\n"
