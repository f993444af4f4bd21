"""Digits that touch one another: ink that may be several digits is cut where the reader is most certain of the parts.

Candidates are paths from top to bottom that cross little ink. The parts between them are read, and the best way from
the left to the right is found (over-segmentation: LeCun and others 1998, V). The whole is cut if that is more probable
than one digit: by its width, by the reader's doubt about the whole, by the ink that is cut, and by how well the parts
are read. Those weights are a logistic regression on rendered validation digits; LOG.md has it.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

from digitset.pictures.ink import box_of, labelled
from digitset.pictures.normalize import picture
from digitset.pictures.read import resized

Reader = Callable[[UInt8[np.ndarray, "n 28 28"]], Float32[np.ndarray, "n 10"]]
"""Digits -> the probabilities of 0 to 9 for each."""
MayCut = Callable[[UInt8[np.ndarray, "n 28 28"]], list[bool]]
"""Marks -> whether each may be several digits."""

WIDE, DOUBTFUL = 0.85, 0.45  # of the height of digits: what is wider is suspected; if the reader is in doubt, this
SURE = 0.98  # certainty below which the reader is in doubt
FINE = 32  # pixels of height on which paths are looked for
APART = 0.07  # of the height: from the middle of one candidate to the next
REACHES = (0.05, 0.15, 0.3)  # of the height: candidates lean to either side by no more, upright ones beside bent ones
SIDEWAYS = 0.2  # pixels of ink that a step to the side costs
EDGE = 0.12  # of the height: no cut is nearer to either end
WIDEST = 1.25  # of the height: no part is wider
PAIR = 1.7  # of the height: what is wider may be more than two digits
SHARD = 0.1  # of a part's ink: a smaller piece that the cut left beside it is no part of it
SMALLEST = 0.35  # of the height: no part is smaller
RARE = 1.5  # log odds: on a picture of several digits few touch; of one piece that is to be split, half were assumed
WEIGHTS = (3.77, 2.15, 0.63, -5.92, 4.19)  # one; width, logarithm of doubt, ink that is cut, parts: log odds of several


def suspected(wide: float, certainty: float) -> bool:
    """Whether ink `wide` times as wide as digits are high, read with this certainty, may be several digits."""
    return wide > WIDE or (wide > DOUBTFUL and certainty < SURE)


def parts(
    flat: Float32[np.ndarray, "h w"],
    ink: Bool[np.ndarray, "h w"],
    high: float,
    certainty: float,
    read: Reader,
    alone: bool = True,
) -> list[Bool[np.ndarray, "h w"]]:
    """The digits that ink is made of, from left to right; one, all of it, where a cut is less probable.

    `flat` is the ink's darkness, 0 to 1, within its box; `high` the height of digits beside it; `certainty` that with
    which the whole is read; `alone` whether there is no other ink on the picture.
    """
    found, odds = best_cut(flat, ink, high, certainty, read)
    return found if odds > (0 if alone else RARE) else [ink]


def best_cut(
    flat: Float32[np.ndarray, "h w"], ink: Bool[np.ndarray, "h w"], high: float, certainty: float, read: Reader
) -> tuple[list[Bool[np.ndarray, "h w"]], float]:
    """The best parts, and the log odds that they are digits rather than the whole one; the whole if there is no cut."""
    flat = np.where(ink, flat, 0).astype(np.float32)
    paths, crossed = _candidates(flat, high)
    between = _between(paths, ink, high)
    if not between:
        return [ink], -math.inf
    read_as = read(np.stack([picture(flat, flat, part).digit for part in between.values()])).max(axis=1)
    scores = {
        ends: math.log(float(each) + 1e-3) - 0.3 * (max(0.0, 0.9 - _height(part) / high) / 0.2) ** 2
        for (ends, part), each in zip(between.items(), read_as, strict=True)
    }
    score, way = _best_way(scores, len(paths) + 1)
    if len(way) < 2:
        return [ink], -math.inf
    cut = max(float(crossed[second - 1]) for _, second in way[:-1])
    evidence = (1.0, min(ink.shape[1] / high, 1.5), math.log(1 - certainty + 1e-4), cut, score)
    odds = sum(weight * value for weight, value in zip(WEIGHTS, evidence, strict=True))
    return [between[each] for each in way], odds


def _between(
    paths: Float[np.ndarray, "K h"], ink: Bool[np.ndarray, "h w"], high: float
) -> dict[tuple[int, int], Bool[np.ndarray, "h w"]]:
    """What may be a digit between two cuts, by their numbers: 0 is the left end of the ink, 1 the first path."""
    ends = np.concatenate([np.full((1, len(ink)), -1.0), paths, np.full((1, len(ink)), ink.shape[1] + 1.0)])
    several = ink.shape[1] > PAIR * high
    last, middles = len(ends) - 1, np.arange(ink.shape[1]) + 0.5
    between: dict[tuple[int, int], Bool[np.ndarray, "h w"]] = {}
    for first in range(last):
        for second in range(first + 1, last + 1):
            if (first, second) != (0, last) and (several or first == 0 or second == last):
                part = ink & (middles >= ends[first][:, None]) & (middles < ends[second][:, None])
                if (whole := _without_shards(part, high)) is not None:
                    between[first, second] = whole
    return between


def _best_way(scores: dict[tuple[int, int], float], last: int) -> tuple[float, list[tuple[int, int]]]:
    """The parts from 0 to `last`, one beginning where the other ends, whose scores sum to the most."""
    best: dict[int, tuple[float, list[tuple[int, int]]]] = {0: (0.0, [])}
    for first, second in sorted(scores, key=lambda ends: (ends[1], ends[0])):
        if first in best:
            score = best[first][0] + scores[first, second]
            if second not in best or score > best[second][0]:
                best[second] = (score, [*best[first][1], (first, second)])
    return best.get(last, (-math.inf, []))


def _height(part: Bool[np.ndarray, "h w"]) -> int:
    return int(part.any(axis=1).sum())


def _without_shards(part: Bool[np.ndarray, "h w"], high: float) -> Bool[np.ndarray, "h w"] | None:
    """A part without the small pieces that a cut leaves; None if it is too small, or too wide, for a digit."""
    if not part.any():
        return None
    pieces = labelled(part)
    areas = np.bincount(pieces.ravel())
    areas[0] = 0
    whole = (areas >= SHARD * areas.sum())[pieces]
    rows, columns = box_of(whole)
    wide, tall = columns.stop - columns.start, rows.stop - rows.start
    return None if max(wide, tall) < SMALLEST * high or wide > WIDEST * high else whole


def _candidates(
    flat: Float32[np.ndarray, "h w"], high: float
) -> tuple[Float[np.ndarray, "K h"], Float[np.ndarray, " K"]]:
    """Cuts from left to right: the column of each at every row, and the ink that it crosses, in heights."""
    scale = min(1.0, FINE / len(flat))
    small = resized(flat, max(1, round(len(flat) * scale)), max(1, round(flat.shape[1] * scale))) if scale < 1 else flat
    found = [_paths(small, scale * high, reach) for reach in REACHES]
    paths, crossed = (np.concatenate(each) for each in zip(*found, strict=True))
    _, first = np.unique(paths, axis=0, return_index=True)
    order = first[np.argsort(paths[first].mean(axis=1), kind="stable")]
    rows = (np.arange(len(flat)) + 0.5) * len(small) / len(flat) - 0.5
    columns = (paths[order] + 0.5) * flat.shape[1] / small.shape[1]
    whole = np.stack([np.interp(rows, np.arange(len(small)), path) for path in columns])
    return whole, crossed[order] / len(small)


def _paths(
    flat: Float32[np.ndarray, "h w"], high: float, reach: float
) -> tuple[Int[np.ndarray, "K h"], Float[np.ndarray, " K"]]:
    """For each of some columns the path near it that crosses the least ink: its column at every row, and the ink."""
    wide = flat.shape[1]
    count = max(2, round((wide / high - 2 * EDGE) / APART) + 1)
    anchors = np.linspace(EDGE * high, max(EDGE * high + 1, wide - EDGE * high), count).astype(int)
    offsets = np.arange(-max(1, round(reach * high)), max(1, round(reach * high)) + 1)
    places = np.clip(anchors[:, None] + offsets, 0, wide - 1)
    outside = 10.0 * (anchors[:, None] + offsets != places)
    cost = flat[0, places] + outside
    came = np.zeros((len(flat), *places.shape), int)
    for row in range(1, len(flat)):
        near = np.pad(cost, ((0, 0), (1, 1)), constant_values=np.inf)
        ways = np.stack([near[:, :-2] + SIDEWAYS, near[:, 1:-1], near[:, 2:] + SIDEWAYS])
        came[row] = ways.argmin(axis=0) - 1
        cost = ways.min(axis=0) + flat[row, places] + outside
    at, each = cost.argmin(axis=1), np.arange(count)
    paths = np.empty((count, len(flat)), int)
    for row in range(len(flat) - 1, -1, -1):
        paths[:, row] = places[each, at]
        at = at + came[row, each, at]
    return paths, cost.min(axis=1)
