"""load(...).predict(...): the scores of evaluation on windows built from the raw files; any number of sequences."""

import gzip
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

import digitset
from digitset import InputError, Predictor, Run
from digitset.data.mnist import Splits

RAW = Path(digitset.__file__).parent / "data/files"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    runs = {
        "classify": Run(
            task="classify", model="mlp", encoder="lenet", steps=60, images_per_step=256, sequences_per_step=256
        ),
        "sum": Run(task="sum", encoder="lenet", steps=60, images_per_step=128, sequences_per_step=128),
        "contains": Run(task="contains", encoder="lenet", steps=60, images_per_step=128, sequences_per_step=128),
        "mlp": Run(task="sum", model="mlp", encoder="lenet", steps=2, images_per_step=64, sequences_per_step=16),
    }
    return {name: digitset.train(run, folder / name).path for name, run in runs.items()}


@pytest.fixture(scope="module")
def predictors(folders: dict[str, Path]) -> dict[str, Predictor]:
    return {name: digitset.load(folder, device="cpu") for name, folder in folders.items()}


def raw_test() -> tuple[np.ndarray, np.ndarray]:
    """Test images and labels, read without the package's own parser."""
    images = gzip.decompress((RAW / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((RAW / "t10k-labels-idx1-ubyte.gz").read_bytes())[8:]
    return np.frombuffer(images, np.uint8).reshape(-1, 28, 28), np.frombuffer(labels, np.uint8).astype(int)


def test_sum_scores_on_independent_windows(predictors: dict[str, Predictor], mnist: Splits) -> None:
    images, labels = raw_test()
    spans = [(i, i + zlib.crc32(str(i).encode()) % 10 + 1) for i in range(9_990)]
    answers = predictors["sum"].predict([images[a:b] for a, b in spans])
    truth = np.array([labels[a:b].sum() for a, b in spans])
    report = digitset.evaluate(predictors["sum"].network, predictors["sum"].experiment, mnist)["published"].scores
    assert answers.dtype == np.float32
    assert np.mean(np.rint(answers) == truth) == pytest.approx(report["accuracy"], abs=1e-3)
    assert np.mean((answers - truth) ** 2) == pytest.approx(report["mse"], rel=1e-3)


def test_contains_scores_on_independent_windows(predictors: dict[str, Predictor], mnist: Splits) -> None:
    images, labels = raw_test()
    spans = [(i + 1, i + 2 + zlib.crc32(str(i).encode()) % 10) for i in range(9_989)]
    answers = predictors["contains"].predict([images[a:b] for a, b in spans], images[:9_989])
    truth = np.array([labels[i] in labels[a:b] for i, (a, b) in enumerate(spans)])
    report = digitset.evaluate(predictors["contains"].network, predictors["contains"].experiment, mnist)
    scores = report["published"].scores
    assert ((answers >= 0) & (answers <= 1)).all()
    assert np.mean((answers > 0.5) == truth) == pytest.approx(scores["accuracy"], abs=1e-3)
    bce = -np.mean(np.log(np.where(truth, answers, 1 - answers.astype(np.float64))))
    assert bce == pytest.approx(scores["bce"], rel=1e-2)


def test_classify_says_digits(predictors: dict[str, Predictor], mnist: Splits) -> None:
    images, labels = raw_test()
    answers = predictors["classify"].predict([images[i : i + 1] for i in range(10_000)])
    report = digitset.evaluate(predictors["classify"].network, predictors["classify"].experiment, mnist)["test"]
    assert set(answers.tolist()) <= set(range(10))
    assert np.mean(answers == labels) == pytest.approx(report.accuracy, abs=2e-4)
    assert report.n == 10_000


def test_an_answer_depends_on_its_own_sequence_only(predictors: dict[str, Predictor], mnist: Splits) -> None:
    images = mnist.test.images
    sequences = [images[:3], images[3:4], images[4:60], images[60:70]]
    together = predictors["sum"].predict(sequences)
    alone = [predictors["sum"].predict([sequence.numpy()])[0] for sequence in sequences]
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-3)
    assert predictors["sum"].predict([]).shape == (0,)


MEASURED = """
import resource, sys
import digitset
model = digitset.load(sys.argv[1])
images = digitset.load_data().test.images.numpy()
sequences = [images[start : start + 1000] for start in range(30)]
model.predict(sequences[:1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert len(model.predict(sequences)) == 30
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10)
"""


def test_thousands_of_images_in_bounded_memory(folders: dict[str, Path]) -> None:
    """All memory of a process, torch's too: MiB above what one sequence of 1,000 took. All at once would be 1,000."""
    command = [sys.executable, "-c", MEASURED, str(folders["sum"])]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(result.stdout) < 300


def test_readmes_library_snippet_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parent.parent / "README.md").read_text().split("## The library")[1]
    snippet = text.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    assert "steps=200" in snippet
    exec(snippet.replace("steps=200", "steps=2"), {})


def test_attention_is_a_distribution_over_the_sequence(predictors: dict[str, Predictor], mnist: Splits) -> None:
    images = mnist.test.images
    weights = predictors["contains"].attention([images[:3], images[3:10]], images[10:12])
    assert [weight.shape for weight in weights] == [(4, 3), (4, 7)]
    assert all(np.allclose(weight.sum(axis=1), 1, atol=1e-5) for weight in weights)
    (own,) = predictors["sum"].attention([images[:6]])
    assert own.shape == (4, 6)
    np.testing.assert_allclose(own.sum(axis=1), 1, atol=1e-5)
    with pytest.raises(InputError, match="no attention"):
        predictors["mlp"].attention([images[:3]])


def test_bad_input_is_one_clear_error(predictors: dict[str, Predictor], mnist: Splits) -> None:
    image = mnist.test.images[:2]
    cases = [
        ("sum", [image.float()], None, "expected uint8"),
        ("sum", [image[0]], None, r"expected images \[n, 28, 28\], got \[28, 28\]; .* one image is image\[None\]"),
        ("sum", image, None, "one sequence stands in a list"),
        ("contains", [image], image[0], r"anchors: expected images .*, got \[28, 28\]; .* one image is image\[None\]"),
        ("sum", [image[:, :20]], None, r"got \[2, 20, 28\]"),
        ("sum", [image[:0]], None, "sequence 0: expected at least one image"),
        ("sum", [image], image[:1], "takes no anchors"),
        ("contains", [image], None, "expects anchors"),
        ("contains", [image], image, "expected 1 anchors, one a sequence, got 2"),
        ("mlp", [image, mnist.test.images[:11]], None, "sequence 1: expected at most 10 images"),
    ]
    for name, sequences, anchors, message in cases:
        with pytest.raises(InputError, match=message):
            predictors[name].predict(sequences, anchors)


def test_images_that_are_on_another_scale_or_inverted_are_warned_of(
    predictors: dict[str, Predictor], mnist: Splits
) -> None:
    """The line that is named is the caller's, so that Python says it once, however often that line asks."""
    images = mnist.test.images[:5]
    for odd, message in ((images // 255, "scale the images by 255"), (255 - images, "invert the images")):
        for given in (odd, odd.numpy()):
            with pytest.warns(UserWarning, match=message) as seen:
                predictors["sum"].predict([given[:2], given[2:]])
            assert [(warning.filename, len(seen)) for warning in seen] == [(__file__, 1)]
    predictors["sum"].predict([mnist.test.images[start : start + 1] for start in range(1000)])
    predictors["sum"].predict([images * 0])  # nothing is written there


def test_load_refuses_what_is_no_finished_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no run"):
        digitset.load(tmp_path)
