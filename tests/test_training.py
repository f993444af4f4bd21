"""The loop: the same bits again, resumed after a kill or Ctrl-C or straight; folders not its own; bad losses."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

from digitset.data.mnist import Digits, Splits, load_data
from digitset.device import Machine, choose_precision, wait_for
from digitset.errors import InputError, Stopped, TrainingError
from digitset.files import to_json
from digitset.network import Experiment
from digitset.rng import generator, seed_torch, torch_state_kept
from digitset.run import Run
from digitset.run_folder import LengthScores, RunFolder, SetScores, Summary
from digitset.training import loop, optimizer
from digitset.training.loop import learning_rate, lengths_at, train
from digitset.training.optimizer import AdamW, Muon, optimizers, parameter_groups

RUN = Run(
    task="contains",
    encoder="cnn",
    steps=12,
    images_per_step=40,
    sequences_per_step=20,
    validate_every=6,
    checkpoint_every=3,
    encoder_options={"channels": 16},
    model_options={"dropout": 0.1},
    ema_decay=0.9,
    precision="float32",
    device="cpu",  # a GPU promises no equal bits
)


@pytest.fixture(scope="module")
def few(mnist: Splits) -> Splits:
    """So few images that validation takes no time."""
    parts = [Digits(part.images[:200], part.labels[:200]) for part in (mnist.train, mnist.val, mnist.test)]
    return Splits(*parts, checksum="few")


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return train(RUN, tmp_path_factory.mktemp("straight") / "run")


def same_bits(a: RunFolder, b: RunFolder) -> bool:
    first, second = a.weights(), b.weights()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def without_times(run_folder: RunFolder) -> list[dict[str, Any]]:
    times = ("seconds", "images_per_second")
    return [{name: value for name, value in line.items() if name not in times} for line in run_folder.metrics()]


def test_what_ran_before_does_not_matter(straight: RunFolder, tmp_path: Path) -> None:
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    again = train(RUN, tmp_path / "run")
    assert same_bits(straight, again)
    assert without_times(straight) == without_times(again)
    assert torch.equal(before, torch.random.get_rng_state())


def test_training_on_the_cpu_opens_no_gpu(few: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*arguments: object) -> None:
        raise AssertionError("a GPU was opened")

    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    for name in ("get_rng_state", "set_rng_state", "manual_seed", "manual_seed_all"):
        monkeypatch.setattr(f"torch.cuda.{name}", opened)
    monkeypatch.setattr("torch.mps.manual_seed", opened)
    train(replace(RUN, encoder="lenet", encoder_options={}, steps=1, device="cpu"), tmp_path / "run", splits=few)


def test_of_several_gpus_only_the_runs_own_is_seeded_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, Any]] = []

    @contextlib.contextmanager
    def current(device: torch.device) -> Iterator[None]:
        calls.append(("current", device))
        yield

    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.device", current)
    monkeypatch.setattr("torch.cuda.manual_seed", lambda seed: calls.append(("seeded", seed)))
    monkeypatch.setattr("torch.cuda.get_rng_state", lambda device: calls.append(("kept", device)))
    monkeypatch.setattr("torch.cuda.set_rng_state", lambda state, device: calls.append(("restored", device)))
    own, before = torch.device("cuda:1"), torch.random.get_rng_state()
    with torch_state_kept(own):
        seed_torch(7, own)
        assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(7)))
    assert calls == [("kept", own), ("current", own), ("seeded", 7), ("restored", own)]
    assert torch.equal(before, torch.random.get_rng_state())


def test_two_threads_give_the_same_bits_twice(tmp_path: Path) -> None:
    run = replace(
        RUN, steps=6, images_per_step=128, sequences_per_step=256, curriculum=0.0
    )  # large enough to be split between threads
    torch.set_num_threads(2)
    try:
        first, *others = [train(run, tmp_path / str(attempt)) for attempt in range(3)]
    finally:
        torch.set_num_threads(1)
    assert all(same_bits(first, other) for other in others)


def test_another_seed_gives_other_weights(straight: RunFolder, tmp_path: Path) -> None:
    assert not same_bits(straight, train(replace(RUN, seed=1), tmp_path / "run"))


class Stop(BaseException):
    """Stands for anything that ends a process."""


@pytest.mark.parametrize("step", [1, 3, 5, 11])
def test_ctrl_c_leaves_a_run_that_goes_on_bit_for_bit(straight: RunFolder, tmp_path: Path, step: int) -> None:
    def interrupt(event: dict[str, Any]) -> None:
        if event["step"] == step and "split" not in event:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(RUN, tmp_path / "run", callbacks=[interrupt])
    with pytest.raises(InputError, match="unfinished: add --resume"):
        train(RUN, tmp_path / "run")
    resumed = train(RUN, tmp_path / "run", resume=True)
    assert same_bits(straight, resumed)
    assert without_times(straight) == without_times(resumed)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_of_a_cluster_leave_a_run_that_goes_on_bit_for_bit(
    straight: RunFolder, tmp_path: Path, number: signal.Signals
) -> None:
    before = signal.getsignal(number)

    def interrupt(event: dict[str, Any]) -> None:
        if event["step"] == 5:
            signal.raise_signal(number)

    with pytest.raises(Stopped) as stopped:
        train(RUN, tmp_path / "run", callbacks=[interrupt])
    assert stopped.value.args == (number,)
    assert RunFolder(tmp_path / "run").load_checkpoint()["step"] == 5
    assert signal.getsignal(number) == before
    assert same_bits(straight, train(RUN, tmp_path / "run", resume=True))


def test_a_signal_before_the_first_step_leaves_a_checkpoint_too(straight: RunFolder, tmp_path: Path) -> None:
    """Whatever has a folder ends at a checkpoint, so that what it prints, how to go on, is true."""

    def interrupt(event: dict[str, Any]) -> None:
        if event["step"] == 0:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(RUN, tmp_path / "run", callbacks=[interrupt])
    assert RunFolder(tmp_path / "run").load_checkpoint()["step"] == 1
    assert same_bits(straight, train(RUN, tmp_path / "run", resume=True))


def test_a_second_signal_does_what_it_did_before_the_run(few: Splits, tmp_path: Path) -> None:
    def own(number: int, frame: object) -> None:
        raise Stop

    def interrupt(event: dict[str, Any]) -> None:
        if event["step"] == 4:
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, own)
    try:
        with pytest.raises(Stop):
            train(replace(RUN, checkpoint_every=100), tmp_path / "run", callbacks=[interrupt], splits=few)
        assert signal.getsignal(signal.SIGTERM) == own
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not RunFolder(tmp_path / "run").has_checkpoint


def test_a_signal_after_the_last_step_lets_the_run_be_finished(
    few: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = RunFolder.finish

    def interrupted(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        finish(*arguments)

    monkeypatch.setattr(RunFolder, "finish", interrupted)
    with pytest.raises(Stopped):
        train(replace(RUN, steps=1), tmp_path / "run", splits=few)
    assert RunFolder(tmp_path / "run").finished


def test_a_run_in_a_thread_is_stopped_from_another(straight: RunFolder, tmp_path: Path) -> None:
    """Signals do not come there."""
    stop, ended = threading.Event(), list[type[BaseException]]()

    def listen(event: dict[str, Any]) -> None:
        if event["step"] == 4:
            stop.set()

    def work() -> None:
        try:
            train(RUN, tmp_path / "run", callbacks=[listen], stop=stop.is_set)
        except KeyboardInterrupt as error:
            ended.append(type(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [KeyboardInterrupt]
    assert RunFolder(tmp_path / "run").load_checkpoint()["step"] == 4
    assert same_bits(straight, train(RUN, tmp_path / "run", resume=True))


def test_a_crash_between_checkpoints_costs_only_the_steps_since(straight: RunFolder, tmp_path: Path) -> None:
    def crash(event: dict[str, Any]) -> None:
        if event["step"] == 8:
            raise Stop

    with pytest.raises(Stop):
        train(RUN, tmp_path / "run", callbacks=[crash])
    resumed = train(RUN, tmp_path / "run", resume=True)
    assert same_bits(straight, resumed)
    assert without_times(straight) == without_times(resumed)


def test_a_killed_process_goes_on_bit_for_bit(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = ["--steps", "40", "--images-per-step", "40", "--sequences-per-step", "20", "--checkpoint-every", "5"]
    arguments += ["--encoder", "lenet"]
    command = [sys.executable, "-m", "digitset", "train", "sum", *arguments]
    killed = subprocess.Popen([*command, "--out", str(folder)], stdout=subprocess.DEVNULL)
    while not (folder / "checkpoint").exists():
        assert killed.poll() is None
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not RunFolder(folder).finished
    run = RunFolder(folder).run()
    assert run.steps == 40
    assert same_bits(train(run, folder, resume=True), train(run, tmp_path / "straight"))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_training_does_not_import_the_compiler(optimizer: str, tmp_path: Path) -> None:
    """It would take 1 to 3 seconds of every process that trains, and nothing is compiled."""
    settings = f"steps=1, images_per_step=32, sequences_per_step=8, optimizer='{optimizer}'"
    run = f"digitset.Run('sum', 'exact', 'lenet', {settings})"
    code = (
        f"import sys, digitset\ndigitset.train({run}, {str(tmp_path / 'run')!r})\nprint('torch._dynamo' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("ours", "theirs", "settings"),
    [
        (AdamW, torch.optim.AdamW, {"betas": (0.9, 0.99), "fused": True}),
        (Muon, torch.optim.Muon, {"adjust_lr_fn": "match_rms_adamw"}),
    ],
)
def test_the_optimizer_is_torchs(
    ours: Callable[..., torch.optim.Optimizer], theirs: Callable[..., torch.optim.Optimizer], settings: dict[str, Any]
) -> None:
    """Two matrices have the same shape, two are long, one has no gradient."""
    shapes = [(16, 24), (32, 16), (16, 24), (16, 80), (80, 16), (16, 16)]

    def trained(kind: Callable[..., torch.optim.Optimizer]) -> tuple[list[nn.Parameter], dict[str, Any]]:
        random = generator(0, "matrices")
        weights = [nn.Parameter(torch.randn(shape, generator=random)) for shape in shapes]
        used = kind(weights, lr=0.1, weight_decay=0.3, **settings)
        for _ in range(5):
            used.zero_grad()
            for weight in weights[:-1]:
                weight.grad = torch.randn(weight.shape, generator=random)
            used.step()
        return weights, used.state_dict()

    (our_weights, our_state), (their_weights, their_state) = trained(ours), trained(theirs)
    for our, their in zip(our_weights, their_weights, strict=True):
        assert float((our - their).detach().norm()) <= 0.01 * float(their.detach().norm())
    assert our_state["state"].keys() == their_state["state"].keys()
    for index, values in their_state["state"].items():
        assert our_state["state"][index].keys() == values.keys()
        for name, value in values.items():
            torch.testing.assert_close(our_state["state"][index][name], value)


def test_muon_is_for_large_matrices_and_adamw_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizer, "LEAST_SIDE", 4)
    network = AllKinds()
    names = {parameter: name for name, parameter in network.named_parameters()}
    run = replace(RUN, optimizer="muon", weight_decay=0.3, learning_rate=0.1)
    adamw, muon = optimizers(run, network, torch.device("cpu"))
    of_adamw, of_muon = (
        {names[each]: group["weight_decay"] for group in each_of.param_groups for each in group["params"]}
        for each_of in (adamw, muon)
    )
    large = ("recurrent.weight_ih_l0", "attention.in_proj_weight", "attention.out_proj.weight")
    assert of_muon == dict.fromkeys(large, 0.3)
    assert of_adamw.keys() == set(names.values()) - of_muon.keys()
    assert of_adamw["kernels.0.weight"] == of_adamw["last.weight"] == 0.3
    assert of_adamw["last.bias"] == 0.0


class AllKinds(nn.Module):
    """A layer of every kind, and parameters of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(3, 4))
        self.levels = nn.ParameterList([torch.zeros(2, 2)])
        self.kernels = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ConvTranspose1d(2, 2, 3), nn.PReLU(2))
        self.recurrent = nn.LSTM(4, 4, proj_size=2)
        self.attention = nn.MultiheadAttention(4, 2, add_bias_kv=True)
        self.table = nn.Embedding(5, 4)
        self.norm = nn.LayerNorm([3, 4])
        self.last = nn.Linear(4, 2)


def test_weight_decay_is_for_the_weights_of_layers() -> None:
    network = AllKinds()
    names = {parameter: name for name, parameter in network.named_parameters()}
    decayed, others = parameter_groups(network)
    assert [names[parameter] for parameter in decayed] == [
        "kernels.0.weight",
        "kernels.2.weight",
        *("recurrent.weight_ih_l0", "recurrent.weight_hh_l0", "recurrent.weight_hr_l0"),
        *("attention.in_proj_weight", "attention.out_proj.weight"),
        "last.weight",
    ]
    assert {names[parameter] for parameter in others} == set(names.values()) - {
        names[parameter] for parameter in decayed
    }


@pytest.mark.parametrize(
    ("run", "free"),
    [
        (Run("sum", "set_transformer", "vit"), ["positions", "seed", "points", "points"]),
        (Run("contains", "transformer"), []),
        (Run("bags", "gru", "unpadded"), []),
    ],
    ids=lambda value: value.model if isinstance(value, Run) else "",
)
def test_of_matrices_only_those_that_a_part_makes_itself_are_not_decayed(run: Run, free: list[str]) -> None:
    network = Experiment.of(run).build()
    names = {parameter: name.split(".")[-1] for name, parameter in network.named_parameters()}
    _, others = parameter_groups(network)
    assert sorted(names[each] for each in others if each.dim() > 1) == sorted(free)


def test_a_folder_keeps_its_run(straight: RunFolder) -> None:
    assert train(RUN, straight.path).path == straight.path
    with pytest.raises(InputError, match=r"holds a different run \(steps 12 -> 13\)"):
        train(replace(RUN, steps=13), straight.path)


def test_a_run_folder_tells_the_whole_story(straight: RunFolder) -> None:
    values = json.loads((straight.path / "run.json").read_text())
    assert Run.from_json(values["run"]) == RUN
    assert values["data"] == load_data().checksum
    assert values["machine"]["torch"] == torch.__version__
    assert values["machine"].keys() >= {"device", "threads", "precision", "commit", "digitset", "python"}
    assert straight.summary().steps == 12
    assert not straight.has_checkpoint


def test_damage_is_noticed(straight: RunFolder, tmp_path: Path) -> None:
    for name in ("run.json", "model.json", "model.safetensors"):
        (tmp_path / name).write_bytes((straight.path / name).read_bytes())
    raw = bytearray((tmp_path / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(bytes(raw))
    with pytest.raises(InputError, match="damaged"):
        RunFolder(tmp_path).weights()
    run_folder = RunFolder(tmp_path)
    run_folder.save_checkpoint({"step": 3, "tensor": torch.ones(3)})
    assert run_folder.load_checkpoint()["step"] == 3
    raw = bytearray((tmp_path / "checkpoint").read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / "checkpoint").write_bytes(bytes(raw))
    with pytest.raises(InputError, match="damaged"):
        run_folder.load_checkpoint()


def test_a_loss_that_is_not_finite_names_the_step(tmp_path: Path) -> None:
    run = replace(RUN, task="sum", learning_rate=1e30, ema_decay=0.0)
    with pytest.raises(TrainingError, match=r"step \d+: the loss is (nan|inf)"):
        train(run, tmp_path / "run")
    assert not RunFolder(tmp_path / "run").finished


def test_bfloat16_trains_where_it_is_asked_for(tmp_path: Path) -> None:
    run_folder = train(replace(RUN, precision="bfloat16", steps=3), tmp_path / "run")
    assert run_folder.precision() == "bfloat16"
    assert all(tensor.dtype != torch.bfloat16 for tensor in run_folder.weights().values())


def test_the_precision_is_what_the_processor_has() -> None:
    flags = set(Path("/proc/cpuinfo").read_text().split()) if Path("/proc/cpuinfo").exists() else set()
    able = not flags.isdisjoint({"avx512_bf16", "amx_bf16"})
    assert choose_precision("auto", torch.device("cpu")) == ("bfloat16" if able else "float32")
    assert choose_precision("float32", torch.device("cpu")) == "float32"


@pytest.mark.parametrize(("steps", "warm", "last"), [(5, 1, 0.146447), (100, 10, 0.000305), (1_000, 100, 0.000003)])
def test_the_schedule(steps: int, warm: int, last: float) -> None:
    run = replace(RUN, steps=steps, warmup_fraction=0.1, learning_rate=2.0)
    rates = [learning_rate(run, step) / 2 for step in range(steps + 1)]
    assert rates[:warm] == pytest.approx([(step + 1) / warm for step in range(warm)])
    assert rates[warm - 1] == rates[warm] == 1.0
    assert rates[warm:] == sorted(set(rates[warm:]), reverse=True)
    assert rates[(warm + steps) // 2] == pytest.approx(0.5)
    assert rates[steps - 1] == pytest.approx(last, abs=1e-6)
    assert rates[steps] == pytest.approx(0, abs=1e-15)


def test_short_sequences_come_first() -> None:
    run = replace(RUN, steps=100, curriculum=0.5)
    experiment = Experiment.of(run)
    lengths = [lengths_at(experiment, step) for step in range(100)]
    assert lengths[0] == (1, 1)
    assert [longest for _, longest in lengths] == sorted(longest for _, longest in lengths)
    assert set(lengths[50:]) == {(1, 10)}
    assert lengths_at(Experiment.of(replace(run, curriculum=0.0)), 0) == (1, 10)


def stopped(folder: Path, run: Run) -> RunFolder:
    """A run that ended with a checkpoint."""

    def crash(event: dict[str, Any]) -> None:
        if event["step"] == 8:
            raise Stop

    with pytest.raises(Stop):
        train(run, folder, callbacks=[crash])
    return RunFolder(folder)


def test_going_on_elsewhere_is_noted(tmp_path: Path) -> None:
    run_folder = stopped(tmp_path / "run", RUN)
    path = run_folder.path / "run.json"
    values = json.loads(path.read_text())
    values["machine"]["threads"] = 64
    values.pop("checksum")
    path.write_bytes(to_json(values))
    notes = []
    train(RUN, run_folder.path, resume=True, callbacks=[lambda event: notes.append(event.get("note"))])
    assert "threads 64 -> 1" in notes[0]
    assert notes[0] in [line.get("note") for line in run_folder.metrics()]


def test_a_run_that_an_older_version_began_goes_on(tmp_path: Path) -> None:
    """Commit 9ddbe2a stopped it after its checkpoint at step 4; such checkpoints do not say images and metrics."""
    folder = shutil.copytree(Path(__file__).parent / "older_run", tmp_path / "run")
    values = json.loads((folder / "run.json").read_text())
    values["machine"]["torch"] = "2.0.0"
    (folder / "run.json").write_text(json.dumps(values))
    run, notes = RunFolder(folder).run(), []
    assert [check.words for check in RunFolder(folder).check_files() if check.whole is False] == []
    run_folder = train(run, folder, resume=True, callbacks=[lambda event: notes.append(event.get("note"))])
    assert f"torch 2.0.0 -> {torch.__version__}" in notes[0]
    assert run_folder.summary().images == 12 * run.images_per_step
    straight = train(run, tmp_path / "straight")
    for name, weights in straight.weights().items():
        torch.testing.assert_close(run_folder.weights()[name], weights, rtol=1e-2, atol=1e-3)  # of another processor


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    run_folder = stopped(tmp_path / "run", RUN)
    saved = run_folder.load_checkpoint()
    saved["network"].popitem()
    run_folder.save_checkpoint(saved)
    with pytest.raises(InputError, match="another version of the model"):
        train(RUN, run_folder.path, resume=True)


def test_weights_of_another_network_are_one_short_line(tmp_path: Path) -> None:
    run, other = replace(RUN, model_options={}), replace(RUN, model="mlp", model_options={})
    run_folder, machine = RunFolder(tmp_path / "run"), Machine.here(torch.device("cpu"))
    run_folder.start(run, machine, "float32", 1, "0" * 64)
    run_folder.finish(Experiment.of(other).build().state_dict(), Summary(1, 1, 1.0, 1.0, 1))
    with pytest.raises(InputError, match=r"weights of another version of .*; train the run again") as said:
        run_folder.network()
    assert "\n" not in str(said.value)
    assert len(str(said.value)) < 500


def test_a_run_of_another_version_of_a_task_is_refused(straight: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digitset.tasks.contains.Contains.version", 99)
    with pytest.raises(InputError, match="another version of task 'contains'"):
        train(RUN, straight.path)


def test_kept_scores_are_for_the_version_that_made_them(straight: RunFolder) -> None:
    scores = {"published": SetScores(3, {"accuracy": 0.5}, (0.1, 0.9), {10: LengthScores(3, {"accuracy": 0.5})})}
    straight.save_scores(scores, {"task": 1})
    assert straight.scores({"task": 1}) == scores
    assert straight.scores({"task": 2}) is None


class Queue:
    """A device that does a step's work later: when it is waited for, or when a result is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waiting = self.done = self.launching = 0.0
        step, predict, save = loop.training_step, loop.predict_sets, RunFolder.save_checkpoint

        def queued_step(*arguments: Any) -> None:
            start = time.perf_counter()
            step(*arguments)
            self.launching += time.perf_counter() - start
            self.waiting += 0.02

        def slow_predict(*arguments: Any) -> Any:
            self.work()
            time.sleep(0.1)
            return predict(*arguments)

        def slow_save(*arguments: Any) -> None:
            self.work()
            time.sleep(0.1)
            save(*arguments)

        monkeypatch.setattr(loop, "training_step", queued_step)
        monkeypatch.setattr(loop, "predict_sets", slow_predict)
        monkeypatch.setattr(RunFolder, "save_checkpoint", slow_save)
        monkeypatch.setattr(loop, "wait_for", lambda device: self.work())

    def work(self) -> None:
        time.sleep(self.waiting)
        self.waiting, self.done = 0.0, self.done + self.waiting


def test_seconds_are_until_the_device_has_done_the_steps(
    few: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = replace(RUN, encoder="lenet", encoder_options={}, steps=9, validate_every=4, checkpoint_every=3)
    queue = Queue(monkeypatch)

    def interrupt(event: dict[str, Any]) -> None:
        if event["step"] == 5:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(run, tmp_path / "run", callbacks=[interrupt], splits=few)
    kept = RunFolder(tmp_path / "run").load_checkpoint()["seconds"]
    assert 5 * 0.02 + queue.launching < kept < 5 * 0.02 + queue.launching + 0.15
    seconds = train(run, tmp_path / "run", resume=True, splits=few).summary().train_seconds
    assert queue.done == pytest.approx(9 * 0.02)
    assert 9 * 0.02 + queue.launching < seconds < 9 * 0.02 + queue.launching + 0.25


def test_only_a_device_with_a_queue_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr("torch.accelerator.synchronize", waited.append)
    for name in ("cpu", "cuda:1", "mps"):
        wait_for(torch.device(name))
    assert waited == [torch.device("cuda:1"), torch.device("mps")]


def test_a_run_ends_with_statistics_of_images_as_they_are(straight: RunFolder) -> None:
    network = Experiment.of(RUN).build()
    network.load_state_dict(straight.weights())
    stem = cast(nn.Sequential, cast(nn.Module, network.encoder.layers).stem)
    with torch.no_grad():
        maps = stem[0](load_data().train.images[:5_000, None].float() / 255)
    torch.testing.assert_close(stem[1].running_mean, maps.mean(dim=(0, 2, 3)), rtol=1e-3, atol=1e-4)
    deviation = cast(torch.Tensor, stem[1].running_var).sqrt()
    torch.testing.assert_close(deviation, maps.std(dim=(0, 2, 3)), rtol=1e-2, atol=1e-4)
