"""What a caller has chosen for torch, and other threads, change no bit of what the library does; it changes nothing."""

import copy
import pickle
import signal
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import digitset
from digitset import Predictor, Run, RunFolder, registry
from digitset.data.mnist import Digits, Splits
from digitset.inference import pretrained
from digitset.inference.explain import explain
from digitset.network import Experiment

RUN = Run(
    *("sum", "transformer", "lenet"),
    steps=4,
    images_per_step=40,
    sequences_per_step=20,
    model_options={"dropout": 0.3},
    ema_decay=0.9,
    optimizer="muon",
)


class DefaultType:
    """A context in which torch's default type is another."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __enter__(self) -> None:
        self.before = torch.get_default_dtype()
        torch.set_default_dtype(self.dtype)

    def __exit__(self, *error: object) -> None:
        assert torch.get_default_dtype() == self.dtype
        torch.set_default_dtype(self.before)


CHOSEN: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "float64": lambda: DefaultType(torch.float64),
    "bfloat16": lambda: DefaultType(torch.bfloat16),
    "meta": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
}


@pytest.fixture(scope="module")
def few(mnist: Splits) -> Splits:
    """So few images that validation takes no time."""
    parts = [Digits(part.images[:100], part.labels[:100]) for part in (mnist.train, mnist.val, mnist.test)]
    return Splits(*parts, checksum="few")


@pytest.fixture(scope="module")
def straight(few: Splits, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return digitset.train(RUN, tmp_path_factory.mktemp("straight") / "run", splits=few)


def same_bits(a: RunFolder, b: RunFolder) -> bool:
    first, second = a.weights(), b.weights()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def answers(images: np.ndarray) -> dict[str, list[np.ndarray]]:
    """What packaged models say, loaded anew; a fresh network for each other task, since its rule is in `exact`."""
    said = {}
    tasks = sorted(set(registry.names("tasks")) - {"sum", "classify"})
    runs = [Run(task, model, "lenet") for task in tasks for model in ("exact", "transformer")]
    fresh = [Predictor(run, Experiment.of(run).build(), torch.device("cpu")) for run in runs]
    for model in [*map(digitset.load, pretrained.names()), *fresh]:
        sequences = [images[:1]] if model.task.single_image else [images[:3], images[3:10]]
        anchors = images[10 : 10 + len(sequences)] if model.task.anchored else None
        why = explain(model, sequences[0], None if anchors is None else anchors[0])
        alone = [np.array(why.answer), why.single_answers.numpy()]
        said[f"{model.run.task}/{model.run.model}"] = [model.predict(sequences, anchors), *alone]
    return said


@pytest.fixture(scope="module")
def expected(mnist: Splits) -> dict[str, list[np.ndarray]]:
    return answers(mnist.test.images[:12].numpy())


@pytest.mark.parametrize("name", ["float64", "bfloat16", "meta", "autocast"])
def test_what_the_caller_chose_changes_no_answer(
    mnist: Splits, expected: dict[str, list[np.ndarray]], name: str
) -> None:
    with CHOSEN[name]():
        said = answers(mnist.test.images[:12].numpy())
    assert said.keys() == expected.keys()
    for model, values in expected.items():
        for one, other in zip(values, said[model], strict=True):
            np.testing.assert_array_equal(one, other, err_msg=model)


@pytest.mark.parametrize("name", CHOSEN)
def test_what_the_caller_chose_changes_no_weight(straight: RunFolder, few: Splits, tmp_path: Path, name: str) -> None:
    with CHOSEN[name]():
        again = digitset.train(RUN, tmp_path / "run", splits=few)
    assert same_bits(straight, again)
    assert [line["loss"] for line in again.metrics() if "loss" in line] == [
        line["loss"] for line in straight.metrics() if "loss" in line
    ]


def test_nothing_of_the_process_is_left_changed(few: Splits, tmp_path: Path) -> None:
    def state() -> list[Any]:
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")
        numbers = torch.random.get_rng_state().tolist()
        torch_has = torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads()
        return [handlers, modes, numbers, torch_has, list(warnings.filters), str(np.random.get_state())]

    before = state()
    run_folder = digitset.train(RUN, tmp_path / "run", splits=few)
    digitset.load(run_folder.path).predict([few.test.images[:3]])
    assert state() == before


def test_runs_in_threads_have_the_bits_of_runs_alone(straight: RunFolder, few: Splits, tmp_path: Path) -> None:
    """Dropout and initial weights draw from the one generator that torch has; others of the package load meanwhile."""
    other = replace(RUN, seed=1)
    alone = digitset.train(other, tmp_path / "alone", splits=few)
    ended = threading.Event()

    def loads() -> None:
        while not ended.is_set():
            Experiment.of(other).build()

    with ThreadPoolExecutor(3) as pool:
        loading = pool.submit(loads)
        runs = [pool.submit(digitset.train, run, tmp_path / f"{run.seed}", splits=few) for run in (RUN, other)]
        together = [run.result() for run in runs]
        ended.set()
        loading.result()
    assert same_bits(together[0], straight)
    assert same_bits(together[1], alone)


def test_eight_threads_ask_one_predictor(mnist: Splits) -> None:
    model = digitset.load("sum/exact")
    sequences = [mnist.test.images[start : start + 1 + start % 10] for start in range(16)]
    expected = [model.predict([sequence]) for sequence in sequences]
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda sequence: model.predict([sequence]), sequences * 2))
    np.testing.assert_array_equal(said, expected * 2)


@pytest.mark.parametrize("name", ["sum/exact", "contains/transformer"])
def test_a_predictor_is_copied_and_sent(mnist: Splits, name: str) -> None:
    model, images = digitset.load(name), mnist.test.images
    anchors = images[20:21] if model.task.anchored else None
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict([images[:5]], anchors), model.predict([images[:5]], anchors))


@pytest.mark.parametrize(
    ("task", "model"), [("sum", "transformer_exact"), *((task, "exact") for task in registry.names("tasks"))]
)
def test_averaged_weights_need_a_copy_of_the_model(few: Splits, tmp_path: Path, task: str, model: str) -> None:
    run = replace(RUN, task=task, model=model, steps=2, ema_decay=0.99, optimizer="adamw")
    assert digitset.train(run, tmp_path / "run", splits=few).finished
