"""Whether a picture shows one digit: letters, signs and lines are refused with what they look like, digits are not."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import handwriting
import httpx
import no_digits
import numpy as np
import pytest
import torch
from demo_server import running
from PIL import Image, ImageDraw

import digitset
from digitset.cli import model_commands
from digitset.data.mnist import Splits
from digitset.errors import InputError
from digitset.inference import pretrained
from digitset.pictures.normalize import normalize
from digitset.pictures.one_digit import KINDS, LEAST, look
from digitset.rng import generator

Lines = list[list[tuple[float, float]]]
# On a square of side 1, as a pen would go: not those of any training, which are random.
EUROPEAN: dict[str, Lines] = {
    "1": [[(0.33, 0.43), (0.6, 0.22), (0.58, 0.8)]],
    "7": [[(0.2, 0.35), (0.78, 0.33), (0.72, 0.66)], [(0.3, 0.53), (0.74, 0.55)]],
    "4": [[(0.35, 0.2), (0.27, 0.55), (0.72, 0.54)], [(0.58, 0.36), (0.55, 0.82)]],
}
LETTERS: dict[str, Lines] = {
    "H": [[(0.3, 0.2), (0.31, 0.8)], [(0.7, 0.22), (0.69, 0.79)], [(0.3, 0.5), (0.7, 0.49)]],
    "E": [[(0.68, 0.2), (0.32, 0.2), (0.31, 0.8), (0.7, 0.79)], [(0.32, 0.5), (0.6, 0.5)]],
    "M": [[(0.25, 0.8), (0.28, 0.2), (0.5, 0.55), (0.72, 0.2), (0.76, 0.8)]],
}


def drawn(lines: Lines, pen: int = 14) -> Image.Image:
    """Dark strokes on light paper."""
    paper = Image.new("L", (260, 260), 240)
    for line in lines:
        ImageDraw.Draw(paper).line([(260 * x, 260 * y) for x, y in line], 50, pen, "curve")
    return paper


def held_out(text: str, font: str = no_digits.HELD_OUT[0], seed: int = 5) -> np.ndarray:
    """A text in a font that training did not use, as it is laid on 28x28 pixels."""
    image = no_digits.as_mnist(no_digits.written(text, font, np.random.default_rng(seed)))
    assert image is not None
    return image


@pytest.mark.parametrize("digit", EUROPEAN)
@pytest.mark.parametrize("pen", [9, 20])
def test_european_digits_are_read(digit: str, pen: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn(EUROPEAN[digit], pen).save(tmp_path / "digit.png")
    model_commands.predict("classify", (str(tmp_path / "digit.png"),))
    assert f"digit.png: {digit}, probability " in capsys.readouterr().out


def test_letters_are_refused_and_the_others_answered(tmp_path: Path) -> None:
    """By the command: code 2, and a line for each letter. Certainty includes that a picture is one digit."""
    for name, lines in (LETTERS | EUROPEAN).items():
        drawn(lines).save(tmp_path / f"{name}.png")
    command = [sys.executable, "-m", "digitset", "predict", "classify", str(tmp_path), "--json"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 2
    told = json.loads(outcome.stdout)
    assert [Path(line.partition(":")[0]).stem for line in told["refused"]] == ["E", "H", "M"]
    said = "expected one digit, found what looks like (letters|lines|a sign) .probability"
    assert all(re.search(said, line) for line in told["refused"])
    assert [answer["answer"] for answer in told["answers"]] == [1, 4, 7]
    for answer in told["answers"]:
        (part,) = answer["pictures"]
        assert LEAST <= part["one_digit"] <= 1
        assert answer["certainty"] <= part["one_digit"]
    assert outcome.stderr.count("\n") == 4 + len(told["notes"])


def test_the_anchor_is_asked_too(tmp_path: Path) -> None:
    drawn(LETTERS["H"]).save(tmp_path / "h.png")
    drawn(EUROPEAN["1"]).save(tmp_path / "one.png")
    with pytest.raises(InputError, match=r"h\.png: expected one digit, found what looks like "):
        model_commands.predict("contains", (str(tmp_path / "one.png"),), anchor=str(tmp_path / "h.png"))


def test_a_sign_between_digits_is_left_out_and_told(
    mnist: Splits, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """45 : 9 with a sign of division."""
    places = [int((mnist.test.labels == digit).nonzero()[7]) for digit in (4, 5, 9)]
    page = np.full((160, 480), 235.0)
    for at, place in zip((20, 120, 360), places, strict=True):
        page[30:114, at : at + 84] -= 180 * np.kron(mnist.test.images[place].numpy() / 255, np.ones((3, 3)))
    page[70:77, 250:310] -= 180
    page[48:57, 275:284] -= 180
    page[92:101, 275:284] -= 180
    Image.fromarray(page.clip(0, 255).astype(np.uint8)).save(tmp_path / "page.png")
    model_commands.predict("classify", (str(tmp_path / "page.png"),), split=True)
    said = capsys.readouterr()
    assert [line.split(": ")[1][0] for line in said.out.splitlines()] == ["4", "5", "9"]
    assert "page.png: of 4 marks, number 3 is left out: it looks like " in said.err


def test_joined_digits_are_told_how_to_be_read(mnist: Splits, tmp_path: Path) -> None:
    row = np.concatenate([mnist.test.images[place].numpy()[:, 4:24] for place in (3, 18, 25)], axis=1)
    Image.fromarray(255 - row).resize((480, 224), Image.Resampling.BICUBIC).save(tmp_path / "row.png")
    with pytest.raises(InputError, match=r"looks like several digits .*; --split reads each"):
        model_commands.predict("classify", (str(tmp_path / "row.png"),))


def test_few_digits_and_most_others_are_refused(mnist: Splits) -> None:
    """Digits of validation; letters and signs of a font that training did not use. Benchmarks count more."""
    assert np.mean([each.refused for each in look(list(mnist.val.images[:1_000].numpy()))]) <= 0.01
    others = [held_out(text) for text in (*"ABCDEFGHJKLMNPQRTUVWXYadefhkmnprtuvwxy", *"+=%&#@?*<>±√∑∞≠→", "ab", "xyz")]
    looks = look(others)
    assert np.mean([each.refused for each in looks]) >= 0.9
    assert np.mean([each.like in KINDS[1:3] for each in looks]) >= 0.8
    assert look([]) == []


def test_printed_digits_are_digits() -> None:
    """In all fonts that training did not use; their ones are most like letters."""
    looks = look(
        [held_out(digit, font, turn) for digit in no_digits.DIGITS for font in no_digits.HELD_OUT for turn in range(4)]
    )
    assert np.mean([each.one_digit > 0.5 for each in looks]) >= 0.86
    assert np.mean([each.refused for each in looks]) <= 0.02


def test_european_digits_are_not_refused() -> None:
    """As thick and as wide as a marker makes them; with the flags and bars that letters and lines have too."""
    for digit in handwriting.FORMS:
        ink = handwriting.drawn(digit, 200, generator(0, "test of thick pens", digit), (3.0, 5.2), (-0.3, 0.75))
        looks = look(list((255 * ink).round().to(torch.uint8).numpy()))
        assert np.mean([each.refused for each in looks]) <= 0.01
    ink = handwriting.upright(200, generator(0, "test of upright ones"), (1.4, 5.2), (-0.3, 0.75))
    assert np.mean([each.refused for each in look(list((255 * ink).round().to(torch.uint8).numpy()))]) <= 0.01


@pytest.mark.parametrize("foot", [False, True])
def test_upright_ones_are_not_refused(foot: bool) -> None:
    """A stem alone, or on a foot without a flag, by pens of a 25th to a fifth of its height."""
    draw, marks = np.random.default_rng(11), []
    for pen in (6, 12, 20, 32):
        for _ in range(10):
            left, right = draw.uniform(0.1, 0.22, 2)
            stem = [(0.5 + draw.uniform(-0.03, 0.06), 0.2), (0.5, 0.8)]
            lines = [stem, [(0.5 - left, 0.8), (0.5 + right, 0.8 + draw.uniform(-0.02, 0.02))]]
            marks.append(normalize(np.asarray(drawn(lines[: 1 + foot], pen), np.float32) / 255).digit)
    looks = look(marks)
    assert not any(each.refused for each in looks)
    assert np.mean([each.one_digit > 0.5 for each in looks]) >= 0.95
    assert (digitset.load("classify/any_hand").predict([mark[None] for mark in marks]) == 1).all()


def test_the_service_refuses_the_same() -> None:
    def sent(image: Image.Image) -> httpx.Response:
        stream = io.BytesIO()
        image.save(stream, "PNG")
        headers = {"content-type": "image/png"}
        return httpx.post(f"{address}/v1/normalise", content=stream.getvalue(), headers=headers, timeout=30)

    with running() as (address, _):
        told = sent(drawn(EUROPEAN["4"])).raise_for_status().json()
        refused = sent(drawn(LETTERS["H"]))
    assert told["like"] == "one digit"
    (looks,) = look([normalize(np.asarray(drawn(EUROPEAN["4"]), np.float32) / 255).digit])
    assert told["one_digit"] == pytest.approx(looks.one_digit)
    assert refused.status_code == 422
    assert refused.json()["error"].startswith("picture: expected one digit, found what looks like ")


def test_the_model_for_pictures_is_that_of_the_task_alone() -> None:
    assert pretrained.for_pictures("classify") == "classify/any_hand"
    for name in ("classify/mlp", "sum", "no_such"):
        assert pretrained.for_pictures(name) == name
    names = pretrained.names_for_pictures()
    assert "classify/any_hand" in names
    assert "classify/mlp" not in names
    assert next(name for name in names if name.startswith("classify/")) == "classify/any_hand"
    assert {"sum/exact", "contains/exact"} <= set(names)
    assert digitset.load("classify").path == pretrained.find("classify/mlp")


# How training draws.


@pytest.mark.parametrize("digit", handwriting.FORMS)
def test_drawn_forms_are_as_mnist_has_digits_and_are_read(digit: int) -> None:
    ink = handwriting.drawn(digit, 200, generator(0, "test", digit))
    assert torch.equal(ink, handwriting.drawn(digit, 200, generator(0, "test", digit)))
    rows = (ink.amax(dim=2) > 0.5).sum(dim=1)
    columns = (ink.amax(dim=1) > 0.5).sum(dim=1)
    assert torch.maximum(rows, columns).min() >= 17
    assert torch.maximum(rows, columns).max() <= 22
    mass = ink.sum(dim=(1, 2))
    for axis in (1, 2):
        middle = (ink.sum(dim=axis) * torch.arange(28)).sum(dim=1) / mass
        assert (middle - 14).abs().max() < 0.6
    images = (255 * ink).round().to(torch.uint8)
    right = digitset.load("classify/any_hand").predict(list(images[:, None])) == digit
    assert right.mean() > 0.95


CHANGES = [handwriting.of_width, handwriting.faded, handwriting.with_gap, handwriting.mapped, handwriting.coarse]


@pytest.mark.parametrize("change", CHANGES)
def test_pens_and_maps_change_images_within_their_range(
    change: Callable[[torch.Tensor, torch.Generator], torch.Tensor], mnist: Splits
) -> None:
    ink = mnist.val.images[:200].float() / 255
    changed = change(ink, generator(0, "test"))
    assert torch.equal(changed, change(ink, generator(0, "test")))
    assert changed.min() >= 0
    assert changed.max() <= 1
    differing = (changed != ink).any(dim=2).any(dim=1).float().mean()
    share = {"of_width": 0.5, "faded": 0.25, "with_gap": 1 / 6, "mapped": 1.0, "coarse": 1 / 8}[change.__name__]
    assert differing == pytest.approx(share, abs=0.1)


def test_flags_and_bars_are_added_to_a_part_of_ones_and_sevens_alone(mnist: Splits) -> None:
    for digit, add in handwriting.ADDITIONS.items():
        ink = mnist.val.images[mnist.val.labels == digit][:100].float() / 255
        more = torch.maximum(ink, add(ink, generator(0, "test"))).sum(dim=(1, 2)) / ink.sum(dim=(1, 2))
        assert 1.02 < more.median() < 1.6
