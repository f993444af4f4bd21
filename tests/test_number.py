"""Numbers on pages: rows and numbers kept apart, what is left out told, JSON, notes, and the page drawn."""

import json
import subprocess
import sys
from pathlib import Path

import handwriting
import numpy as np
import pytest
import rendering
import torch
from PIL import Image, ImageDraw

from digitset.cli import model_commands
from digitset.data.mnist import Splits
from digitset.errors import InputError
from digitset.inference.predictor import load
from digitset.pictures.number import READER, read_numbers, reader
from digitset.pictures.segment import find_digits, split_picture
from digitset.pictures.touching import Reader
from digitset.report.page_figure import LEFT_OUT
from digitset.rng import generator

ROWS = [[3, 2, 4], [4], [2, 2, 2], [1, 5, 3]]


@pytest.fixture(scope="module")
def read() -> Reader:
    return reader(load(READER))


def page(mnist: Splits, begin: int, seed: int) -> tuple[np.ndarray, list[list[str]]]:
    """Rows of numbers in grey, and what is written there."""
    count = sum(map(sum, ROWS))
    digits = iter(mnist.val.labels[begin : begin + count].tolist())
    truth = [["".join(str(next(digits)) for _ in range(length)) for length in row] for row in ROWS]
    grey = rendering.numbers(mnist.val.images[begin : begin + count].numpy(), ROWS, np.random.default_rng(seed))
    return grey, truth


def save(path: Path, grey: np.ndarray) -> Path:
    Image.fromarray(np.round(255 * grey).astype(np.uint8)).save(path)
    return path


def test_rows_and_numbers_are_kept_apart(mnist: Splits, read: Reader) -> None:
    right, apart = 0, 0
    for turn in range(5):
        grey, truth = page(mnist, 500 + 50 * turn, turn)
        found, _ = read_numbers(grey, read)
        texts = [[number.text for number in row] for row in found.rows]
        apart += [[len(text) for text in row] for row in texts] == ROWS
        for there, told in zip(truth, texts, strict=False):
            right += sum(one == other for one, other in zip(there, told, strict=False))
    assert apart >= 4
    assert right >= 0.85 * 5 * sum(map(len, ROWS))


def test_a_digit_is_where_its_box_is(mnist: Splits, read: Reader) -> None:
    """Also on a large page, which is reduced before it is looked at."""
    sheet = np.ones((3000, 4000), np.float32)
    corners = ((300, 500), (300, 800), (2000, 3000))
    for index, (top, left) in enumerate(corners):
        sheet[top : top + 280, left : left + 280] = 1 - rendering.enlarged(mnist.val.images[index].numpy(), 10)
    found, _ = read_numbers(sheet, read)
    (first,), (second,) = found.rows
    assert (first.text, second.text) == (
        "".join(map(str, mnist.val.labels[:2].tolist())),
        str(int(mnist.val.labels[2])),
    )
    for digit, (top, left) in zip([*first.digits, *second.digits], corners, strict=True):
        ink = np.argwhere(sheet[top : top + 280, left : left + 280] < 0.5)
        there = [left + ink[:, 1].min(), top + ink[:, 0].min(), left + ink[:, 1].max() + 1, top + ink[:, 0].max() + 1]
        assert np.abs(np.array(digit.box) - there).max() <= 6
    assert first.certainty == pytest.approx(first.digits[0].certainty * first.digits[1].certainty)


def test_evenly_spaced_digits_are_one_number_and_signs_divide(mnist: Splits, read: Reader) -> None:
    row = [np.pad(rendering.enlarged(image, 2), ((40, 40), (20, 20))) for image in mnist.val.images[10:15].numpy()]
    sheet = 1 - np.concatenate(row, axis=1)
    assert [[len(number.digits) for number in line] for line in read_numbers(sheet, read)[0].rows] == [[5]]
    middle = 2 * sheet.shape[1] // 5
    sheet[66:72, middle - 16 : middle + 16] = 0
    found, _ = read_numbers(sheet, read)
    assert [[len(number.digits) for number in line] for line in found.rows] == [[2, 0, 3]]
    assert [other.kind for other in found.left_out] == ["in a bar or sign"]


def test_a_letter_in_a_number_is_told_in_its_place(
    mnist: Splits, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the number itself, in text and in JSON; a picture of nothing else is refused."""
    row = [np.pad(rendering.enlarged(image, 2), ((40, 40), (4, 4))) for image in mnist.val.images[10:14].numpy()]
    letter = Image.new("L", (64, 136))
    for line in ((14, 52, 14, 84), (46, 52, 46, 84), (14, 68, 46, 68)):  # H
        ImageDraw.Draw(letter).line(line, 255, 5)
    mark = np.asarray(letter, np.float32) / 255
    there = save(tmp_path / "1.png", 1 - np.concatenate([*row[:2], mark, *row[2:]], axis=1))
    alone = save(tmp_path / "2.png", 1 - mark)
    with pytest.raises(InputError, match="1 picture was refused"):
        model_commands.predict("number", (str(there), str(alone)), as_json=True)
    said = capsys.readouterr()
    told = json.loads(said.out)
    (numbers,) = told["pictures"]
    truth = [str(digit) for digit in mnist.val.labels[10:14].tolist()]
    text = "".join([*truth[:2], "?", *truth[2:]])
    ((number,),) = numbers["rows"]
    assert (number["text"], number["certainty"]) == (text, 0)
    assert [str(digit["digit"]) for digit in number["digits"]] == truth
    (other,) = numbers["left_out"]
    assert number["unread"] == [other]
    assert other["kind"].startswith("looks like ")
    assert other["box"] == pytest.approx([128 + 12, 52, 128 + 49, 85], abs=2)
    assert "1.png: of 5 marks, number 3 is left out: it looks like " in said.err
    (refused,) = told["refused"]
    assert "2.png: expected one digit, found what looks like " in refused
    model_commands.predict("number", (str(there),))
    row = next(line for line in capsys.readouterr().out.splitlines() if text in line)
    assert "0.000" in row
    assert "(looks like " in row
    model_commands.predict("sum", (str(there),), split=True, show=tmp_path / "page.png")
    assert "1.png: of 5 marks, number 3 is left out: it looks like " in capsys.readouterr().err


def test_a_digit_that_is_cut_off_and_a_sign_are_told_in_their_places(mnist: Splits, read: Reader) -> None:
    """526 and what the edge of the picture cuts off are no 526; 52 + 69 are two numbers, with what divides them."""
    row = np.concatenate(
        [
            np.pad(rendering.enlarged(image, 2)[:, 4:-4], ((40, 40), (0, 0)))
            for image in mnist.val.images[10:14].numpy()
        ],
        axis=1,
    )
    columns = np.nonzero(row[:, -48:].max(axis=0) > 0.5)[0]
    cut = row[:, : row.shape[1] - 48 + columns[0] + 6]
    ((number,),) = read_numbers(1 - np.pad(cut, ((0, 0), (30, 0))), read)[0].rows
    assert number.text == "".join(map(str, mnist.val.labels[10:13].tolist())) + "?"
    assert [mark.kind for mark in number.unread] == ["at the edge"]
    plus = np.zeros((136, 60), np.float32)
    plus[66:71, 10:50] = plus[46:91, 28:33] = 1
    sheet = np.pad(np.concatenate([row[:, :96], plus, row[:, 96:]], axis=1), ((0, 0), (30, 30)))
    (numbers,) = read_numbers(1 - sheet, read)[0].rows
    assert [len(number.digits) for number in numbers] == [2, 0, 2]
    assert numbers[1].text == "?"


# Of a digit's height, from the left and from the middle of the row downwards; as a pen draws them.
SMALL_MARKS = {
    "minus": ((0.1, 0.0), (0.5, -0.03)),
    "short minus": ((0.1, 0.04), (0.42, 0.05)),
    "point": ((0.12, 0.44), (0.15, 0.44)),
    "comma": ((0.18, 0.42), (0.1, 0.6)),
}


@pytest.mark.parametrize("mark", SMALL_MARKS)
@pytest.mark.parametrize("place", [0, 2])
def test_no_small_mark_of_a_number_is_lost(mark: str, place: int, mnist: Splits, read: Reader) -> None:
    """A number without its minus sign or its decimal point is another number. On a sheet, and as photographed."""
    for turn in range(4):
        draw, high, told = np.random.default_rng(turn), 60, list[str]()
        parts = []
        for image, label in zip(mnist.val.images[120:124].numpy(), mnist.val.labels[120:124].tolist(), strict=True):
            rows, columns = np.nonzero(image)
            ink = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            parts.append(np.pad(rendering.enlarged(ink, high / len(ink)), ((30, 30), (2, int(draw.integers(8, 16))))))
            told.append(str(label))
        drawn = Image.new("L", (160, 480))
        line = [(4 * high * x, 4 * (60 + high * y)) for x, y in SMALL_MARKS[mark]]
        ImageDraw.Draw(drawn).line(line, 255, int(draw.integers(18, 28)))
        parts.insert(place, np.asarray(drawn.resize((40, 120), Image.Resampling.BICUBIC), np.float32) / 255)
        sheet = np.pad(np.concatenate(parts, axis=1), ((10, 10), (30, 30)))
        grey = rendering.on_paper(sheet, draw) if turn % 2 else 1 - sheet
        (row,) = read_numbers(grey.astype(np.float32), read)[0].rows
        before, after = "".join(told[:place]), "".join(told[place:])
        apart = [before, "?", after] if "minus" in mark else [f"{before}?{after}"]
        assert [number.text for number in row] == [text for text in apart if text]
        (unread,) = [each for number in row for each in number.unread]
        assert unread.kind == ("in a bar or sign" if "minus" in mark else "a point or comma")
        assert min(number.certainty for number in row) == 0


def test_the_command_tells_text_and_json(mnist: Splits, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grey, truth = page(mnist, 500, 0)
    one, other = save(tmp_path / "p1.png", grey), save(tmp_path / "p2.png", grey[: grey.shape[0] // 3])
    model_commands.predict("number", (str(one), str(other)))
    said = capsys.readouterr().out
    assert all(text in said for row in truth for text in row)
    assert said.index("p1.png") < said.index("p2.png")
    (tmp_path / "p3.png").write_text("no picture")
    command = [sys.executable, "-m", "digitset", "predict", "number", str(tmp_path), "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    told = json.loads(result.stdout)
    assert [[number["text"] for number in row] for row in told["pictures"][0]["rows"]] == truth
    assert len(told["pictures"][1]["rows"]) == 1
    first = told["pictures"][0]["rows"][0][0]["digits"][0]
    assert first["digit"] == int(truth[0][0][0])
    assert 0.5 < first["certainty"] <= 1
    assert len(told["refused"]) == 1
    assert "p3.png: expected a picture" in result.stderr
    with pytest.raises(InputError, match="leave out --anchor"):
        model_commands.predict("number", (str(one),), anchor=str(one))
    with pytest.raises(InputError, match="leave out --onnx"):
        model_commands.predict("number", (str(one),), onnx=True)
    with pytest.raises(InputError, match="no such file"):
        model_commands.predict("number", (str(tmp_path / "none.png"),), as_json=True)


def test_numbers_are_the_digits_that_classify_reads(
    mnist: Splits, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ones with long flags, which a reader that knows MNIST alone takes for sevens; and two digits that touch."""
    flags = (255 * handwriting.drawn(1, 12, generator(0, "test of two readers"))).round().to(torch.uint8).numpy()
    for name, images in (("flags.png", flags[:6]), ("more.png", flags[6:])):
        row = [np.pad(rendering.enlarged(image, 2), ((40, 40), (4, 4))) for image in images]
        save(tmp_path / name, 1 - np.concatenate(row, axis=1))
    touch = rendering.touching(mnist.val.images[700:702].numpy(), np.random.default_rng(3))
    save(tmp_path / "touch.png", touch)
    model_commands.predict("classify", (str(tmp_path),), split=True, as_json=True)
    answers = json.loads(capsys.readouterr().out)["answers"]
    model_commands.predict("number", (str(tmp_path),), as_json=True)
    numbers = json.loads(capsys.readouterr().out)["pictures"]
    digits = [digit for page in numbers for row in page["rows"] for number in row for digit in number["digits"]]
    assert [digit["digit"] for digit in digits] == [answer["answer"] for answer in answers]
    certain = [answer["certainty"] for answer in answers]
    assert [digit["certainty"] for digit in digits] == pytest.approx(certain, abs=1e-5)
    assert [digit["digit"] for digit in digits] == [1] * 12 + mnist.val.labels[700:702].tolist()


def test_only_a_model_that_says_digits_reads() -> None:
    with pytest.raises(InputError, match=r"expected a model that says which digit an image is, .* got 'sum'"):
        reader(load("sum"))


@pytest.mark.parametrize("model", ["number", "sum"])
def test_the_page_is_shown_with_what_was_left_out(
    mnist: Splits, tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    sheet = np.zeros((120, 420), np.float32)
    for index, left in enumerate((20, 160, 320)):
        sheet[30:86, left : left + 56] = rendering.enlarged(mnist.val.images[index].numpy(), 2)
    sheet[58:63, 90:140] = 1
    sheet[3, :] = sheet[-4, :] = sheet[3:-3, 4] = sheet[3:-3, -5] = 1
    picture, figure = save(tmp_path / "signs.png", 1 - sheet), tmp_path / "page.png"
    model_commands.predict(model, (str(picture),), split=True, show=figure)
    assert "left out ink as large as a digit: 1 in a bar or sign" in capsys.readouterr().err
    with Image.open(figure) as drawn:
        pixels = np.asarray(drawn.convert("RGB"), int)
    colour = [int(LEFT_OUT[at : at + 2], 16) for at in (1, 3, 5)]
    assert (np.abs(pixels - colour).max(axis=2) < 30).sum() > 500
    assert pixels.shape[1] > 1000


def test_a_strip_of_a_border_is_no_digit(mnist: Splits) -> None:
    """A dark edge along a part of the side, as long as the digit, is told and not read as a 1."""
    sheet = np.zeros((150, 200), np.float32)
    sheet[40:110, 70:140] = rendering.enlarged(mnist.val.images[3].numpy(), 2.5)
    sheet[30:85, :4] = 1
    found = find_digits(1 - sheet)
    assert len(found.digits) == 1
    assert found.notes() == ["left out ink as large as a digit: 1 at the edge"]


def test_digits_that_touch_are_cut_apart(mnist: Splits, read: Reader) -> None:
    """Without a reader they are taken for one; a row of digits that do not touch stays as it is."""
    draw, right = np.random.default_rng(3), 0
    for begin in range(700, 724, 2):
        grey = rendering.touching(mnist.val.images[begin : begin + 2].numpy(), draw)
        found = read(np.stack([each.digit for each in split_picture(grey, read=read)])).argmax(axis=1)
        right += found.tolist() == mnist.val.labels[begin : begin + 2].tolist()
    assert right >= 8
    whole = rendering.touching(mnist.val.images[700:702].numpy(), np.random.default_rng(3))
    assert len(split_picture(whole)) == 1
    row = rendering.row(mnist.val.images[30:38].numpy(), np.random.default_rng(1))
    whole, cut = (split_picture(row, read=each) for each in (None, read))
    assert len(whole) == len(cut) == 8
    assert all((one.digit == other.digit).all() for one, other in zip(whole, cut, strict=True))
