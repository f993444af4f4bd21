"""The command as a person runs it: real processes, one line and exit code 2 for a mistake, help without torch."""

import csv
import gzip
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome

from digitset import registry
from digitset.cli import main as cli
from digitset.cli import model_commands, training_commands
from digitset.data.mnist import PACKAGED
from digitset.run_folder import RunFolder

SHORT = ["--steps", "4", "--images-per-step", "32", "--sequences-per-step", "16", "--encoder", "lenet"]


def digitset(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "digitset", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    result = digitset("train", "sum", *SHORT, "--out", folder)
    assert result.returncode == 0, result.stderr
    assert "step 4/4" in result.stdout
    return folder


def test_help_names_every_part_and_does_not_wait_for_torch() -> None:
    result = digitset("--help")
    assert result.returncode == 0
    for command, summary in cli.COMMANDS.items():
        assert f"{command} " in result.stdout
        function = getattr(training_commands, command, None) or getattr(model_commands, command)
        assert summary == function.__doc__.splitlines()[0]
        assert digitset(command, "--help").returncode == 0
    for folder in registry.FOLDERS:
        for name in registry.names(folder):
            assert name in result.stdout
    script = (
        "import sys\nsys.argv[1:] = ['--help']\ntry:\n    from digitset.cli.main import main; main()\nfinally:\n    "
    )
    script += "print('torch' in sys.modules)"
    lines = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False).stdout.split()
    assert lines[-1] == "False"


def test_what_help_says_of_an_argument_is_written_once() -> None:
    """What several commands take has its words in cli/arguments.py."""
    files = [Path(module.__file__ or "") for module in (training_commands, model_commands)]
    said = Counter(re.findall(r"^        (\w+: \w.*)$", "\n".join(map(Path.read_text, files)), re.MULTILINE))
    assert [line for line, times in said.items() if times > 1] == []
    for command in ("evaluate", "predict", "explain", "publish", "export"):
        (trust,) = re.findall(r"--trust +(.*?)\(default", re.sub(r"[│\s]+", " ", digitset(command, "--help").stdout))
        assert (
            trust == "Execute the code that the folder has, if its parts are files of somebody's own: read them first. "
        )


def test_evaluate_and_show(run_folder: Path, command: Callable[..., Outcome]) -> None:
    result = digitset("evaluate", run_folder)
    assert result.returncode == 0, result.stderr
    assert "published" in result.stdout
    assert "n 9,990" in result.stdout
    kept = (run_folder / "scores.json").stat().st_mtime_ns
    assert command("evaluate", run_folder).output == result.stdout
    assert (run_folder / "scores.json").stat().st_mtime_ns == kept, "test images are scored once"
    shown = command("show", run_folder).output
    for words in ("model transformer", "step 4 of 4", "train loss", "published", "steps=4", "sequences grow over 90%"):
        assert words in shown
    curves = [line for line in shown.splitlines() if line.startswith(("train ", "val "))]
    assert len(curves) == 3
    assert all(line[15] == " " != line[16] for line in curves), "one under another"
    shown = command("show", "sum").output
    for words in ("model exact", "step 9000 of 9000, finished", "none: a published model has no metrics"):
        assert words in shown
    scores = command("evaluate", "sum/exact")
    assert scores.code == 0, scores.errors
    header, _, rest = scores.output.partition("\n")
    assert header == "on 10,000 images of MNIST of the package, set aside for testing"
    assert rest in shown


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_output_of_few_characters_does_not_fail(run_folder: Path, encoding: str) -> None:
    """As a file on Windows has them, for blocks and for names."""
    named = shutil.copytree(run_folder, run_folder.parent / "lauf-ж")
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "digitset", "show", str(named)]
    shown = subprocess.run(command, capture_output=True, env=environment, check=False)
    shutil.rmtree(named)
    assert shown.returncode == 0, shown.stderr
    (curve,) = re.findall(r"^train loss +(\S+)", shown.stdout.decode(encoding), re.MULTILINE)
    assert set(curve) <= set("_.-~=+*#")


def test_what_only_pages_and_pictures_need_is_imported_there() -> None:
    """Loading, training and MNIST wait for none of it."""
    code = "import digitset, sys\ndigitset.load, digitset.train, digitset.load_data(), digitset.evaluate\n"
    code += "print([name for name in ('scipy', 'matplotlib', 'jinja2', 'PIL') if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "[]", result.stderr


def test_another_device_interval_or_path_of_the_same_data_is_the_same_run(
    run_folder: Path, command: Callable[..., Outcome]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in run_folder.iterdir()}
    other = ("--device", "cpu", "--checkpoint-every", "7", "--data", PACKAGED)
    outcome = command("train", "sum", *SHORT, *other, "--out", run_folder)
    assert outcome.code == 0, outcome.errors
    assert before == {path: path.stat().st_mtime_ns for path in run_folder.iterdir()}


def test_lengths(run_folder: Path, tmp_path: Path, command: Callable[..., Outcome]) -> None:
    outcome = command("lengths", run_folder, "--longest", "100", "--out", tmp_path / "lengths")
    assert outcome.code == 0, outcome.errors
    with (tmp_path / "lengths/lengths.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["length"]) for row in rows] == [1, 2, 5, 10, 20, 50, 100]
    for row in rows:
        assert int(row["n"]) >= 500
        assert float(row["per_image"]) ** int(row["length"]) == pytest.approx(
            float(row["accuracy"]), rel=0.05, abs=1e-9
        )
    assert (tmp_path / "lengths/lengths.png").stat().st_size > 10_000


def test_names_of_runs_that_are_no_text_and_no_formula(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Outcome]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("\udcff", "$\\frac$", "_a")
    for name in names:
        shutil.copytree(run_folder, name)
    outcome = command("lengths", *names, "--longest", "1", "--out", "out")
    assert outcome.code == 0, outcome.errors
    with Path("out/lengths.csv").open() as file:
        assert [row["run"] for row in csv.DictReader(file)] == ["\\udcff", "$\\frac$", "_a"]


def test_a_closed_output_is_no_error(run_folder: Path) -> None:
    for closed in (">&-", ">&- 2>&-", "<&- >&- 2>&-"):
        words = f"{shlex.quote(sys.executable)} -m digitset show {shlex.quote(str(run_folder))} {closed}"
        done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), closed


def test_mistakes_are_one_line_and_exit_code_2(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Outcome]
) -> None:
    truncated = tmp_path / "truncated"
    truncated.mkdir()
    for file in PACKAGED.glob("*.gz"):
        shutil.copy(file, truncated)
    labels = truncated / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(labels.read_bytes()[:5000])
    altered = shutil.copytree(truncated, tmp_path / "altered")
    raw = gzip.decompress((PACKAGED / labels.name).read_bytes())
    (altered / labels.name).write_bytes(gzip.compress(raw[:8] + b"\x0b" + raw[9:]))
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    file = tmp_path / "file"
    file.write_text("")

    monkeypatch.chdir(tmp_path)
    cases = [
        (["train", "product"], "unknown task 'product': expected one of bags, classify"),
        (
            ["train", "sum", "--model", "oracle"],
            "unknown model 'oracle': expected one of attention_pool, constant, deepsets",
        ),
        (["train", "sum", "--encoder", "eye"], "unknown encoder 'eye': expected one of cnn, lenet, unpadded, vit"),
        (["train", "sum", "--lengths", "0", "10"], "--lengths: expected 1 <= shortest <= longest, got 0 10"),
        (["train", "sum", "--lengths", "-5", "-1"], "--lengths: expected 1 <= shortest <= longest, got -5 -1"),
        (["train", "classify", "--lengths", "2", "3"], "--lengths: expected 1 1"),
        (
            ["train", "sum", "--encoder", "vit", "--encoder-options", "patch", "4"],
            "expected a patch of 7 with the stem",
        ),
        (
            [*("train", "sum", "--encoder", "vit", "--encoder-options"), *("stem", "patches", "patch", "0")],
            "expected a patch that divides 28",
        ),
        (
            ["train", "sum", "--encoder", "vit", "--encoder-options", "pooling_heads", "0"],
            "expected hidden and pooling_heads of at least 1",
        ),
        (["train", "contains", "--images-per-step", "10"], "--images-per-step: expected at least 11 images"),
        (["train", "sum", *SHORT, "--out", "/proc/digitset"], "/proc/digitset"),
        (["train", "sum", "--steps", "0"], "--steps: expected at least 1, got 0"),
        (["train", "sum", "--max-grad-norm", "0"], "--max-grad-norm: expected a number above 0, got 0.0"),
        (["train", "sum", "--ema-decay", "1"], "--ema-decay: expected a number from 0 to below 1, got 1.0"),
        (["train", "sum", "--device", "warp"], "device 'warp' is not present: expected auto or one of"),
        (["train", "sum", "--data", nothing], "found an empty folder"),
        (["train", "sum", "--data", truncated], "truncated or altered: not readable as gzip"),
        (["train", "sum", "--data", altered], "expected labels 0..9, found 11"),
        (["train", "sum", "--out", file], "expected a folder or nothing, found a file"),
        (["train", "sum", *SHORT, "--seed", "1", "--out", run_folder], "holds a different run (seed 0 -> 1)"),
        (["train", "sum", "--model-options", "depth", "3"], "unknown option 'depth' of model 'transformer'"),
        (["train", "sum", "--model-options", "heads", "5"], "model 'transformer' cannot be built"),
        (["evaluate", nothing], "expected the folder of a run, found no run.json"),
        (["show", nothing], "expected the folder of a run, found no run.json"),
        (["show", "summ"], "or a packaged model, one of"),
        (["compare", "--models", "oracle"], "unknown model 'oracle'"),
        (["compare", "--encoders"], "expected one or more of --models and of --encoders"),
        (["lengths", run_folder, "--longest", "0"], "--longest: expected 1 to 1000, got 0"),
        (["compare", "--encoders", "eye"], "unknown encoder 'eye'"),
        (["train", "sum", "--lengths", "1", "6000", "--images-per-step", "6000"], "--lengths: expected at most 5000"),
        (["lengths", nothing], "expected the folder of a run, found no run.json"),
    ]
    for arguments, message in cases:
        outcome = command(*arguments)
        code, errors = outcome.code, outcome.errors
        assert code == 2, (arguments, errors)
        assert errors.count("\n") == 1, errors
        assert message in errors
    assert not (tmp_path / "runs").exists()
    for arguments in (["train", "product"], ["evaluate", str(nothing)]):
        result = digitset(*arguments, cwd=tmp_path)
        assert (result.returncode, result.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["trian"], "unknown command 'trian': did you mean 'train'?"),
        (["modles", "--json"], "did you mean 'models'?"),
        (["fly"], "unknown command 'fly': expected one of train, data, evaluate"),
        (["train", "sum", "--model", "transfomer"], "unknown model 'transfomer': did you mean 'transformer'?"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_one_that_is_meant(
    arguments: list[str], meant: str, command: Callable[..., Outcome]
) -> None:
    outcome = command(*arguments)
    assert (outcome.code, outcome.errors.count("\n")) == (2, 1)
    assert meant in outcome.errors


def test_help_is_in_words_and_has_the_options_of_parts(command: Callable[..., Outcome]) -> None:
    for name in cli.COMMANDS:
        said = command(name, "--help").output
        for unread in ("STR", "{None}", "PATH"):
            assert unread not in said, (name, unread)
    said = command("train", "--help").output
    assert "  exact             hidden 256" in said
    for folder in ("models", "encoders"):
        for name in registry.names(folder):
            assert re.search(rf"^  {name} +\w", said, re.MULTILINE), name


COMPLETIONS = {
    ("train", "s"): {"sum"},
    ("train", "sum", "--model", "transf"): {"transformer", "transformer_exact"},
    ("bench", "--models", "exact", "set"): {"set_transformer"},
    ("predict", "contains/t"): {"contains/transformer", "contains/transformer-vit"},
    ("eva",): {"evaluate"},
}


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_the_shell_completes_names(tmp_path: Path, command: Callable[..., Outcome]) -> None:
    script = tmp_path / "completion"
    script.write_text(command("--tyro-print-completion", "bash").output)
    lines = [f"source {script}"]
    for words in COMPLETIONS:
        lines += [f"COMP_WORDS=(digitset {' '.join(words)}); COMP_CWORD={len(words)}; COMPREPLY=()", "_tyro_digitset"]
        lines += ['echo "${COMPREPLY[@]}"']
    result = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert [set(line.split()) for line in result.stdout.splitlines()] == list(COMPLETIONS.values()), result.stderr
    for shell in ("zsh", "fish"):
        assert "'sum/transformer'" in command("--tyro-print-completion", shell).output
    assert command("--tyro-print-completion", "tcsh").errors.count("\n") == 1


def test_values_that_do_not_parse(tmp_path: Path) -> None:
    for arguments in (["train", "sum", "--steps", "many"], ["fly"], ["train"], []):
        result = digitset(*arguments, cwd=tmp_path)
        assert result.returncode == 2
        assert "Traceback" not in result.stderr


def test_training_that_diverges_ends_with_one_line(tmp_path: Path) -> None:
    result = digitset("train", "sum", *SHORT, "--learning-rate", "1e30", "--out", tmp_path / "run")
    assert result.returncode == 1
    assert "the loss is" in result.stderr
    assert "Traceback" not in result.stderr


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "digitset", "train", "sum", "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    run_folder = RunFolder(tmp_path / "run")
    while not run_folder.last_step():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in output
    assert "Traceback" not in errors
    assert run_folder.has_checkpoint


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_cluster_that_ends_a_run_loses_no_step(tmp_path: Path, name: str) -> None:
    """There is a checkpoint of the last step that was made, whatever --checkpoint-every says."""
    arguments = ["sum", *SHORT, "--steps", "100000", "--validate-every", "100000", "--checkpoint-every", "100000"]
    command = [sys.executable, "-m", "digitset", "train", *arguments, "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    run_folder = RunFolder(tmp_path / "run")
    while not run_folder.last_step():
        assert process.poll() is None
        time.sleep(0.05)
    number = getattr(signal, name)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "--resume" in output
    assert errors == ""
    assert 0 <= run_folder.load_checkpoint()["step"] - run_folder.last_step() < 10


def test_a_run_outlives_its_terminal_under_nohup_alone(tmp_path: Path) -> None:
    """A terminal that closes sends SIGHUP, and takes no more words; a program that ignores the signal goes on."""
    long = ["--steps", "100000", "--validate-every", "100000", "--encoder", "lenet"]
    for ignored in (False, True):
        out = tmp_path / str(ignored)
        steps = SHORT if ignored else [*SHORT, *long]
        mine, theirs = pty.openpty()
        code = f"import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN) if {ignored} else None; "
        code += f"sys.argv[1:] = {['train', 'sum', *steps, '--out', str(out)]}; "
        code += "from digitset.cli.main import main; main()"
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=theirs,
            stdout=subprocess.DEVNULL if ignored else theirs,
            stderr=subprocess.PIPE,
        )
        os.close(theirs)
        run_folder = RunFolder(out)
        while not run_folder.exists if ignored else not run_folder.last_step():
            assert process.poll() is None
            time.sleep(0.05)
        os.close(mine)
        process.send_signal(signal.SIGHUP)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == (0 if ignored else 128 + signal.SIGHUP), errors
        assert run_folder.finished if ignored else run_folder.has_checkpoint


def test_a_name_with_the_end_of_a_line_is_told_in_one() -> None:
    for words in (["show", "a\nb"], ["predict", "sum", "a\x1b[2Jb"], ["bench", "--grid", "a\r\nb"]):
        result = subprocess.run([sys.executable, "-m", "digitset", *words], capture_output=True, text=True, check=False)
        assert result.returncode == 2
        assert result.stderr.count("\n") == 1
        assert repr(words[-1])[1:-1] in result.stderr
        assert "\x1b" not in result.stderr
