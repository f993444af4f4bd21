"""Pictures become digits as MNIST's were made: MNIST's own stay themselves, rendered and drawn ones come near them."""

import difflib
from pathlib import Path

import numpy as np
import pytest
import rendering
from PIL import Image, ImageDraw
from scipy import ndimage

from digitset.data.mnist import Splits
from digitset.errors import InputError
from digitset.inference.predictor import Predictor, load
from digitset.pictures.normalize import digit, normalize
from digitset.pictures.read import read_picture
from digitset.pictures.segment import split_picture
from digitset.report import figures


@pytest.fixture(scope="module")
def reader() -> Predictor:
    return load("classify")


def alike(one: np.ndarray, other: np.ndarray) -> float:
    """The correlation of two images."""
    return float(np.corrcoef(one.ravel().astype(float), other.ravel().astype(float))[0, 1])


def nearest(made: list[np.ndarray], images: np.ndarray) -> np.ndarray:
    """Which of the images each digit is most like."""

    def standard(some: np.ndarray) -> np.ndarray:
        flat = some.reshape(len(some), -1).astype(np.float32)
        flat -= flat.mean(axis=1, keepdims=True)
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)

    return (standard(np.stack(made)) @ standard(images).T).argmax(axis=1)


def test_mnist_stays_itself(mnist: Splits, tmp_path: Path) -> None:
    images = mnist.val.images[:100].numpy()
    found = []
    for image in images:
        for polarity in (image, 255 - image):
            Image.fromarray(polarity).save(tmp_path / "digit.png")
            found.append(alike(digit(read_picture(tmp_path / "digit.png")), image))
    assert np.mean(np.array(found) > 0.995) > 0.9
    assert min(found) > 0.7


@pytest.mark.parametrize(("render", "least"), [(rendering.clean, 0.9), (rendering.photographed, 0.7)])
def test_rendered_digits_come_back(mnist: Splits, render, least: float) -> None:
    draw = np.random.default_rng(0)
    images = mnist.val.images[:25].numpy()
    made = [digit(render(image, draw)) for image in images]
    assert np.mean([alike(one, image) for one, image in zip(made, images, strict=True)]) > least
    known = mnist.train.labels[:5000].numpy()[nearest(made, mnist.train.images[:5000].numpy())]
    assert np.mean(known == mnist.val.labels[:25].numpy()) > 0.85


KINDS = {  # of one digit: how many of 20 are read at least
    **dict.fromkeys(
        ("with a dark edge", "filling the picture", "uneven ink", "faint pen", "small on a large sheet"), 19
    ),
    **{"cells cut along their lines": 17, "strokes in pieces": 17},
}
SEVERAL = ("in boxes", "on ruled paper", "in a grid", "in two polarities")


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_picture_is_read(mnist: Splits, reader: Predictor, kind: str) -> None:
    draw = np.random.default_rng(7)
    made = [digit(rendering.ONE[kind](image, draw)) for image in mnist.val.images[200:220].numpy()]
    right = reader.predict([one[None] for one in made]) == mnist.val.labels[200:220].numpy()
    assert right.sum() >= KINDS[kind]


@pytest.mark.parametrize("kind", SEVERAL)
def test_each_kind_of_picture_is_split(mnist: Splits, reader: Predictor, kind: str) -> None:
    draw, (render, count) = np.random.default_rng(7), rendering.SEVERAL[kind]
    right = 0
    for begin in range(300, 300 + 4 * count, count):
        found = split_picture(render(mnist.val.images[begin : begin + count].numpy(), draw))
        read = reader.predict([one.digit[None] for one in found]).tolist()
        right += read == mnist.val.labels[begin : begin + count].tolist()
    assert right >= 3


def test_strokes_of_a_pen_that_runs_dry_are_joined(mnist: Splits, reader: Predictor) -> None:
    """They fade to an eighth of their ink, and are in pieces at any one threshold."""
    draw, right, more = np.random.default_rng(7), 0, 0
    for begin in range(300, 340, 10):
        found = split_picture(rendering.dry(mnist.val.images[begin : begin + 10].numpy(), draw))
        read = reader.predict([one.digit[None] for one in found]).tolist()
        matches = difflib.SequenceMatcher(None, mnist.val.labels[begin : begin + 10].tolist(), read, autojunk=False)
        right += sum(match.size for match in matches.get_matching_blocks())
        more += len(read)
    assert right >= 34
    assert more - right <= 8


@pytest.mark.parametrize(("pale", "found"), [([1], 6), ([0], 6), ([0, 1, 3, 4], 2)])
def test_a_digit_is_found_that_is_pale_all_over(mnist: Splits, pale: list[int], found: int) -> None:
    """If few are: much that is pale may shine through from the back of the sheet."""
    row = [rendering.enlarged(np.pad(image, 2), 2) for image in mnist.val.images[1:7].numpy()]
    ink = np.concatenate([each * (0.2 if index in pale else 1) for index, each in enumerate(row)], axis=1)
    noise = np.random.default_rng(0).normal(0, 0.004, ink.shape)
    assert len(split_picture((0.95 - 0.8 * ink + noise).astype(np.float32))) == found


def test_a_pale_frame_is_no_digit(mnist: Splits) -> None:
    """Of its lines only bits are as dark as ink."""
    ink = np.concatenate([rendering.enlarged(np.pad(image, 2), 2) for image in mnist.val.images[1:7].numpy()], axis=1)
    sheet, draw = np.pad(ink, 30), np.random.default_rng(0)
    for line in (np.s_[15:17, 15:-15], np.s_[-17:-15, 15:-15], np.s_[15:-15, 15:17], np.s_[15:-15, -17:-15]):
        sheet[line] = 0.5
    grey = 0.9 - 0.7 * ndimage.gaussian_filter(sheet, 0.6) + draw.normal(0, 0.01, sheet.shape)
    assert len(split_picture(grey.astype(np.float32))) == 6


def test_straight_strokes_are_no_lines_of_the_paper(reader: Predictor) -> None:
    """A 1, a 7 and a 4 of thin upright and level strokes, nearly as long as the picture."""
    one, seven_, four = (np.ones((250, 190), np.float32) for _ in range(3))
    one[20:225, 90:95] = 0
    seven_[25:31, 25:165] = seven_[25:225, 159:165] = 0
    four[25:150, 40:44] = four[150:154, 40:165] = four[25:225, 120:124] = 0
    for sheet, right in ((one, 1), (seven_, 7), (four, 4)):
        for polarity in (sheet, 1 - sheet):
            assert reader.predict([digit(polarity)[None]]) == [right]
            assert reader.predict([each.digit[None] for each in split_picture(polarity)]) == [right]


@pytest.mark.parametrize("wide", [1, 4, 8])
@pytest.mark.parametrize("light", [False, True])
def test_a_border_all_around_is_no_paper(mnist: Splits, wide: int, light: bool) -> None:
    """White on black within white, and black on white within black: the border is as light as the ink."""
    row = np.concatenate([rendering.enlarged(np.pad(image, 2), 2) for image in mnist.val.images[1:7].numpy()], axis=1)
    sheet = np.pad(row, wide, constant_values=1)
    assert len(split_picture(sheet if light else 1 - sheet)) == 6


def in_cell(image: np.ndarray, high: int, side: int = 84) -> np.ndarray:
    """Ink 1 on paper 0: a digit whose foot is three pixels above its cell's lower edge."""
    rows, columns = np.nonzero(image)
    ink = rendering.enlarged(image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1], high / 20)
    sheet = np.zeros((side, side), np.float32)
    left = (side - ink.shape[1]) // 2
    sheet[side - 3 - len(ink) : side - 3, left : left + ink.shape[1]] = ink
    return sheet


def test_a_digit_is_read_that_touches_the_lines_of_its_cell(mnist: Splits, reader: Predictor) -> None:
    made = []
    for image in mnist.val.images[200:230].numpy():
        sheet = in_cell(image, 44)
        sheet[:4] = sheet[-4:] = sheet[:, :3] = sheet[:, -3:] = 0.9
        made.append(digit(1 - sheet))
    right = reader.predict([one[None] for one in made]) == mnist.val.labels[200:230].numpy()
    assert right.sum() >= 27


def test_bits_of_lines_in_the_corners_are_of_no_digit(mnist: Splits) -> None:
    """As a cell has them that is turned a little."""
    for image in mnist.val.images[200:230].numpy():
        sheet = in_cell(image, 62)
        alone = digit(1 - sheet)
        sheet[:2, :14] = sheet[:2, -14:] = sheet[-2:, :14] = sheet[:14, -2:] = sheet[-14:, :2] = sheet[-14:, -2:] = 0.9
        assert alike(digit(1 - sheet), alone) > 0.85


def test_thick_strokes_with_a_speck_between_are_no_frame() -> None:
    """An open 6 of upright and level strokes."""
    sheet = Image.new("L", (75, 75), 255)
    ImageDraw.Draw(sheet).line([(26, 8), (26, 62), (50, 62), (50, 40), (38, 40)], 20, 8)
    ImageDraw.Draw(sheet).rectangle((42, 20, 44, 22), 20)
    flat = 1 - np.asarray(sheet, np.float32) / 255
    assert normalize(1 - flat).ink.sum() > 0.9 * flat.sum()


def test_the_parts_of_a_broken_digit_may_be_of_any_size() -> None:
    """A small dark arch over a wide thin one, farther from it than a third of itself: a 3 with a gap."""
    sheet = np.zeros((68, 68), np.float32)
    sheet[14:20, 24:40] = sheet[14:32, 34:40] = 1
    sheet[40:43, 20:48] = sheet[40:54, 45:48] = 1
    assert normalize(1 - sheet).ink[40:54].sum() > 50


def test_bars_and_signs_of_division_are_no_digits(mnist: Splits) -> None:
    sheet = np.zeros((120, 420), np.float32)
    for index, left in enumerate((20, 160, 320)):
        sheet[30:86, left : left + 56] = rendering.enlarged(mnist.val.images[index].numpy(), 2)
    sheet[58:63, 100:130] = sheet[58:63, 250:280] = 1
    sheet[40:46, 262:268] = sheet[76:82, 262:268] = 1
    assert len(split_picture(1 - sheet)) == 3


def test_a_digit_at_the_edge_is_not_left_out(mnist: Splits) -> None:
    sheet = np.zeros((100, 200), np.float32)
    first, second = (rendering.enlarged(mnist.val.images[index].numpy(), 2) for index in (0, 3))
    sheet[20:76, 20:76] = first
    cut = second[np.nonzero(second.max(axis=1) > 0.5)[0][0] :]
    sheet[: len(cut), 110:166] = cut
    assert len(split_picture(1 - sheet)) == 2


def test_tiny_pictures_are_read(mnist: Splits, reader: Predictor) -> None:
    """Digits that fill pictures of 8 pixels, and a margin of one, of either polarity."""
    made = []
    for index, image in enumerate(mnist.val.images[400:430].numpy()):
        inside = np.asarray(Image.fromarray(image[4:24, 4:24]).resize((8, 8), Image.Resampling.BOX))
        tiny = np.pad(inside, 1) / np.float32(255)
        made.append(digit(tiny if index % 2 else 1 - tiny)[None])
    assert (reader.predict(made) == mnist.val.labels[400:430].numpy()).sum() >= 28


def seven(side: int, pen: int, dark: float = 0.0, light: float = 1.0) -> np.ndarray:
    sheet = Image.new("L", (side, side), round(255 * light))
    points = [(0.3 * side, 0.25 * side), (0.7 * side, 0.25 * side), (0.45 * side, 0.8 * side)]
    ImageDraw.Draw(sheet).line(points, fill=round(255 * dark), width=pen, joint="curve")
    return np.asarray(sheet, np.float32) / 255


def test_pens_of_any_width_write_as_in_mnist() -> None:
    """A hair and a broad marker, on few pixels and on many: the box is MNIST's, and the ink as much as in MNIST."""
    for side, pen in [(60, 3), (200, 2), (600, 4), (600, 30), (600, 90), (3000, 10), (3000, 400)]:
        made = digit(seven(side, pen))
        rows, columns = np.nonzero(made)
        assert max(np.ptp(rows), np.ptp(columns)) == 19
        weights = made / made.sum()
        assert abs((weights.sum(axis=1) * np.arange(28)).sum() - 14) <= 0.51
        assert made.max() > 200
        assert 40 < (made / 255).sum() < 200, (side, pen)


def test_polarity_specks_and_the_edge_of_the_desk() -> None:
    plain = digit(seven(400, 20))
    chalk = digit(seven(400, 20, dark=0.8, light=0.15))
    assert alike(chalk, plain) > 0.99
    dirty = seven(400, 20).copy()
    dirty[20:24, 30:34] = dirty[350:353, 300:303] = 0
    dirty[:, 385:] = 0.1
    assert alike(digit(dirty), plain) > 0.99


def test_no_ink_is_one_line() -> None:
    draw = np.random.default_rng(0)
    blank = np.ones((300, 200), np.float32)
    paper = np.clip(0.8 - np.linspace(0, 0.3, 200) + draw.normal(0, 0.03, (300, 200)), 0, 1).astype(np.float32)
    for sheet in (blank, paper, np.full((1, 1), 0.5, np.float32)):
        for function in (digit, split_picture):
            with pytest.raises(InputError, match=r"^scan\.png: expected a digit in ink"):
                function(sheet, "scan.png")


def test_a_row_is_split_in_reading_order(mnist: Splits) -> None:
    draw = np.random.default_rng(1)
    images = mnist.val.images.numpy()
    as_many, right = [], []
    for _ in range(12):
        shown = images[draw.choice(len(images), draw.integers(1, 9), replace=False)]
        found = split_picture(rendering.row(shown, draw))
        as_many.append(len(found) == len(shown))
        if as_many[-1]:
            right += list(nearest([one.digit for one in found], shown) == np.arange(len(shown)))
    assert np.mean(as_many) > 0.8
    assert np.mean(right) > 0.9


def test_parts_of_a_digit_stay_together_and_rows_apart() -> None:
    sheet = Image.new("L", (420, 460), 255)
    pen = ImageDraw.Draw(sheet)
    for left, top in ((40, 40), (240, 70), (40, 260)):  # a 5 whose top stroke is apart; a 1; a dot
        pen.line(
            [
                (left + 12, top + 25),
                (left + 10, top + 60),
                (left + 50, top + 75),
                (left + 45, top + 110),
                (left, top + 125),
            ],
            0,
            10,
        )
        pen.line([(left + 25, top + 6), (left + 70, top)], 0, 10)
        pen.line([(left + 120, top), (left + 110, top + 125)], 0, 10)
    pen.ellipse((200, 200, 206, 206), 0)
    found = split_picture(np.asarray(sheet, np.float32) / 255)
    wide = [one.cropped.shape[1] > 50 for one in found]
    assert wide == [True, False, True, False, True, False]
    assert all(abs(one.cropped.shape[0] - 130) < 15 for one in found)


def test_the_steps_can_be_seen(mnist: Splits, tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    made = [normalize(rendering.photographed(image, draw)) for image in mnist.val.images[:2].numpy()]
    for one in made:
        assert one.grey.shape == one.flat.shape == one.ink.shape
        assert one.cropped.shape < one.ink.shape
        assert 0 <= one.ink.min() < one.ink.max() <= 1
    figures.draw_steps(tmp_path / "steps.png", "How two pictures were read", made, ["one.png", "two.png"])
    assert read_picture(tmp_path / "steps.png").shape[1] > 500
