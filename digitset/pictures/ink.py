"""A picture in grey -> its ink: what differs from the paper, in pieces, without lines and frames.

Light and paper are told from ink first, whichever is darker. Then each piece is asked what it is: a frame, a line of
the paper or a bar is left out before anything is concluded from the size of what remains.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int32
from scipy import ndimage

from digitset.errors import InputError
from digitset.pictures.read import reduced, resized

COARSE = 96  # pixels on which the light is looked at
FAINTEST = 0.04  # ink differs from its paper by at least this
SPECK, PALE_SPECK = 150, 50  # what is shorter than this part of the picture's longest side is no ink, dark or pale
BENT = 0.55  # half of the change of light over a picture and the share of ink in it, together, are no more
APART = 0.35  # two papers on one picture differ by at least this
LINE = 0.6  # of the columns without strokes: a line through the picture is seen in so many
SMALLEST_FRAME = 30  # pixels
NEAR_EDGE = 0.04  # of a side: lines of a cell, where it was cut along them, are at the edge or so near
EDGE = 0.12  # of a side: a strip along the edge is no thicker
SPAN = 0.4  # of a side: a straight line of a border or frame has no bend for so long
THICKEST = 0.15  # of a frame's longest side: its lines are no thicker
SIDES = 0.5  # of a pale frame: two of its lines are as far apart; a digit on a line has no such two
SETTLED = 5e-4  # of grey: a surface of light that changes less is found
SAMPLE = 100_000  # pixels, at least, from which the noise of a larger picture is measured
CUT = 0.4  # of the ink's level: what is darker is ink; lower than a half, so that faint strokes do not break
PALE = 0.2  # of the ink's level: lines of a frame are no paler
FAINT = 0.1  # of the ink's level: what is darker may be ink where a pen runs dry
STROKE = 0.1  # of a digit's height: within so much the ink of one stroke is about as dark
FEW = 0.5  # of the pieces: digits that are pale all over are no more; what shines through from the back may be
LARGEST, GROWN, FULL = 1.3, 0.15, 0.6  # of a digit's height: no digit is larger; faint ends are longer; a whole digit
EIGHT = np.ones((3, 3), bool)  # a pixel and its neighbours

Grey = Float32[np.ndarray, "H W"]
Pieces = Int32[np.ndarray, "H W"]
Ink = tuple[Grey, Pieces, Bool[np.ndarray, "H W"]]
"""What `ink_and_lines` finds."""
Box = tuple[slice, slice]


def panels(grey: Float32[np.ndarray, "H W"]) -> list[Box]:
    """The parts of a picture that have papers of their own, as boxes: light beside dark. Mostly one, the whole picture.

    The paper is what a median over more than a digit's strokes leaves. Parts are boxes of either, if they are boxes.
    """
    whole = [(slice(0, grey.shape[0]), slice(0, grey.shape[1]))]
    # First on few pixels, since the median of all takes more time than everything else on a small picture.
    _, share, apart = _papers(reduced(grey, COARSE // 2))
    if not 0.1 < share < 0.9 or apart < 0.75 * APART:
        return whole
    small = reduced(grey, COARSE)
    light, share, apart = _papers(small)
    if not (0.15 < share < 0.85) or apart < APART:
        return whole
    found = list[Box]()
    for side in (light, ~light):
        numbered = labelled(side)
        for number, box in enumerate(ndimage.find_objects(numbered), 1):
            if (numbered[box] == number).sum() > 0.1 * side.size:
                found.append(box)
                if (numbered[box] == number).mean() < 0.9:
                    return whole
    scale = [large / few for large, few in zip(grey.shape, small.shape, strict=True)]
    return [(_scaled(box[0], scale[0]), _scaled(box[1], scale[1])) for box in found] or whole


def _papers(small: Float32[np.ndarray, "H W"]) -> tuple[Bool[np.ndarray, "H W"], float, float]:
    """Where the paper is light, what share that is, and by how much it is lighter than the rest of the paper."""
    paper = np.asarray(ndimage.median_filter(small, max(3, max(small.shape) // 6), mode="nearest"))
    light = paper > _otsu(paper.ravel())
    if light.all() or not light.any():
        return light, float(light.mean()), 0.0
    return light, float(light.mean()), float(paper[light].mean() - paper[~light].mean())


def _scaled(part: slice, by: float) -> slice:
    return slice(round(part.start * by), round(part.stop * by))


def ink_and_lines(grey: Float32[np.ndarray, "H W"], name: str) -> Ink:
    """The picture without its light, ink 1 and paper 0; the pieces of ink in it, numbered from 1; lines and frames.

    Where there is paper, pieces are 0. Lines and frames are pixels of ink that are left out.

    Raises InputError, which begins with `name`, if there is no ink.
    """
    raw = _without_light(grey)
    smooth = ndimage.gaussian_filter(raw, max(grey.shape) / 800, truncate=3) if max(grey.shape) > 200 else raw
    noise = _noise(smooth)
    marked = smooth[smooth > max(FAINTEST, 4 * noise)]
    if not marked.size:
        raise no_ink(name)
    level = float(np.percentile(marked[marked >= _otsu(marked)], 70))
    everything = smooth > CUT * level
    pieces = labelled(everything)
    where = box_of(everything)
    pale = np.zeros_like(everything)
    pale[where] = _pale_frames(smooth[where], max(PALE * level, 3 * noise))
    if pale.any():
        pieces[pale] = 0
    framed = without_frames(pieces)
    ink = without_rules(framed > 0)
    if framed is not pieces or not np.array_equal(ink, everything):
        pieces = labelled(ink)
    speck = SPECK if level > max(0.1, 10 * noise) else PALE_SPECK
    pieces = _without_specks(pieces, max(3, max(grey.shape) / speck))
    if not pieces.any():
        raise no_ink(name)
    return np.clip(raw / level, 0, 1).astype(np.float32), pieces, (everything | pale) & ~ink


def with_faint_strokes(ink: Ink) -> Ink:
    """The same with the ink of a pen that runs dry, made as dark as other ink, where that joins pieces to a digit.

    Ink is what is dark beside the darkest of a stroke around it. It counts if paler ink makes one mark of several
    pieces of which at most one is as high as a digit, or makes a piece longer, and the mark is no larger than a digit.
    Where noise is as dark as that, nothing changes.
    """
    flat, pieces, lines = ink
    sides = {
        number: longest_side(box)
        for number, box in enumerate(ndimage.find_objects(pieces), 1)
        if box is not None and not touches_edge(box, pieces.shape)
    }
    if not sides:
        return ink
    most = max(sides.values())
    high = float(np.median([side for side in sides.values() if side >= most / 2]))
    # Nothing is to be found far from ink, and most of a large sheet may be paper.
    room = int(2 * LARGEST * most)
    rows, columns = (slice(max(0, part.start - room), part.stop + room) for part in box_of(pieces > 0))
    flat, pieces = flat.copy(), pieces.copy()
    _join(flat[rows, columns], pieces[rows, columns], lines[rows, columns], sides, high)
    return flat, pieces, lines


def _join(flat: Grey, pieces: Pieces, lines: Bool[np.ndarray, "H W"], sides: dict[int, int], high: float) -> None:
    """Makes faint strokes as dark as others, in place, and of one piece with what they join."""
    smooth = ndimage.gaussian_filter(flat, max(0.5, high / 100), truncate=3)
    least = max(FAINT, 4 * _noise(-smooth[pieces == 0]))
    if least > CUT / 2:
        return
    around_it = ndimage.maximum_filter(smooth, 1 + 2 * round(STROKE * high / 2))
    marks = labelled(((smooth > np.maximum(least, CUT * around_it)) | (pieces > 0)) & ~lines)
    boxes = {
        number: box
        for number, box in enumerate(ndimage.find_objects(marks), 1)
        if longest_side(box) <= LARGEST * max(sides.values()) and not touches_edge(box, marks.shape)
    }
    seen = set(np.unique(marks[pieces > 0]).tolist())
    beside_line = ndimage.maximum_filter(lines, 3 + 2 * round(STROKE * high / 2)) if lines.any() else lines
    pale = [
        number
        for number, box in boxes.items()
        if number not in seen and FULL * high <= _height(box) and not (beside_line[box] & (marks[box] == number)).any()
    ]
    if len(pale) > FEW * len(sides):
        pale = []
    new = int(pieces.max())
    for number in [*(seen & set(boxes)), *pale]:
        box, mark = boxes[number], marks[boxes[number]] == number
        within = np.unique(pieces[box][mark & (pieces[box] > 0)]).tolist()
        if not within or _is_whole(within, sides, box, high):
            new += 1
            pieces[box][mark] = new
            darker = np.clip(smooth[box] / np.maximum(around_it[box], least), flat[box], 1)
            flat[box][mark] = darker[mark]


def _is_whole(within: list[int], sides: dict[int, int], box: Box, high: float) -> bool:
    """Whether faint ink makes one digit of pieces, or a longer one of a piece. Two that are as high would be wide."""
    longest = [sides.get(each, 0) for each in within]
    if len(within) > 1:
        return sum(side >= FULL * high for side in longest) < 2 or box[1].stop - box[1].start <= high
    return longest_side(box) > longest[0] + GROWN * high


def no_ink(name: str) -> InputError:
    return InputError(
        f"{name}: expected a digit in ink that stands out from its paper, found none; cut the picture to its digits"
    )


def _without_light(grey: Float32[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """How far each pixel is from its paper towards ink: 0 paper, 1 as black (or, on dark paper, as white) as can be.

    The paper's grey is a quadratic surface through most of the pixels, and what blurred pixels of paper differ from it.
    Light multiplies: ink in a shadow is as much darker than its paper, in proportion, as ink in the light.
    """
    small = reduced(grey, COARSE).astype(np.float64)
    # If the edge is no paper, but a border or the lines of a cell, a surface that trusts it is bent, or most is ink.
    ways = [_light(small, edge) for edge in (True, False)]
    costs = [_share(small, *way) + float(np.ptp(way[0])) / 2 for way in ways]
    light, dark = ways[int(np.argmin(costs))] if min(costs) < BENT else _even(small)
    return _towards(grey, np.clip(resized(light.astype(np.float32), *grey.shape), 0, 1), dark)


def _light(small: Float64[np.ndarray, "H W"], edge: bool) -> tuple[Float64[np.ndarray, "H W"], bool]:
    """The grey that paper has at each pixel, and whether ink is darker. With `edge`, the picture's edge is paper."""
    surface = _surface(small, edge)
    rest = small - surface
    dark = bool(np.sum(rest**3) < 0)  # ink is what differs most
    towards = -rest if dark else rest
    paper = ndimage.binary_erosion(towards <= max(FAINTEST, 3 * _noise(towards)), EIGHT, border_value=1).astype(float)
    blur = max(small.shape) / 10
    weight, more = (ndimage.gaussian_filter(each, blur, truncate=2.5) for each in (paper, rest * paper))
    return surface + more / (weight + 0.05), dark


def _even(small: Float64[np.ndarray, "H W"]) -> tuple[Float64[np.ndarray, "H W"], bool]:
    """The same if there is no light on the picture: paper is as light, or as dark, as anything, like most corners.

    An edge that is the same all around is a border, since most of the picture would be ink if it were paper.
    """
    darkest, lightest = np.percentile(small, [5, 95])
    light = small > (darkest + lightest) / 2
    around_it = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    corners = light[[0, 0, -1, -1], [0, -1, 0, -1]]
    dark = around_it.mean() < 0.1 if not 0.1 <= around_it.mean() <= 0.9 else corners.mean() >= 0.5
    return np.full_like(small, lightest if dark else darkest), bool(dark)


def _towards(grey: Float[np.ndarray, "H W"], light: Float[np.ndarray, "H W"], dark: bool) -> Float[np.ndarray, "H W"]:
    return (light - grey) / np.maximum(light, 0.1) if dark else (grey - light) / np.maximum(1 - light, 0.1)


def _share(small: Float64[np.ndarray, "H W"], light: Float64[np.ndarray, "H W"], dark: bool) -> float:
    """How much of the picture would be ink."""
    towards = _towards(small, np.clip(light, 0, 1), dark)
    return float(np.mean(towards > max(FAINTEST, CUT * float(np.percentile(towards, 98)))))


def _noise(towards_ink: Float[np.ndarray, "H W"]) -> float:
    """The standard deviation of paper, from the half of it that differs away from ink, where no ink is."""
    some = towards_ink.ravel()[:: max(1, towards_ink.size // SAMPLE)]
    away = some[some < 0]
    return 1.4826 * float(np.median(-away)) if away.size else 0.0


def _surface(grey: Float64[np.ndarray, "H W"], trusted: bool) -> Float64[np.ndarray, "H W"]:
    """The quadratic surface nearest to the grey in the sum of absolute differences, in which ink hardly counts.

    Where the edge is `trusted` to be paper, as it is even if the digit fills the picture, its pixels count as much as
    all others three times, and where most of the edge has one grey (a screen's white has no light on it), that is the
    surface. Found by least squares, weighted again and again by the inverse of the difference.
    """
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in grey.shape), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).reshape(-1, 6)
    edge = np.maximum(np.abs(x), np.abs(y)).ravel() == 1
    level = np.median(grey.ravel()[edge])
    if trusted and np.mean(np.abs(grey.ravel()[edge] - level) < 0.01) > 0.5:
        return np.full_like(grey, level)
    values, share = grey.ravel(), np.where(edge & trusted, 3 / edge.sum(), 1 / max(1, (~edge).sum()))
    weight, fit = share, np.zeros(6)
    for _ in range(30):
        weighted, before = terms.T * weight, fit
        fit = np.linalg.solve(weighted @ terms + 1e-9 * np.eye(6), weighted @ values)
        if np.abs(fit - before).max() < SETTLED:
            break
        weight = share / np.maximum(np.abs(values - terms @ fit), 1e-3)
    return (terms @ fit).reshape(grey.shape)


def _otsu(values: Float32[np.ndarray, " n"]) -> float:
    """The threshold that leaves two groups as far apart as can be (Otsu 1979, equation 18)."""
    counts, edges = np.histogram(values, 128)
    middles = (edges[1:] + edges[:-1]) / 2
    below = counts.cumsum()
    above = below[-1] - below
    sums = (counts * middles).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1:][np.nanargmax(between)]) if np.isfinite(between[:-1]).any() else float(edges[0])


def labelled(ink: Bool[np.ndarray, "H W"]) -> Int32[np.ndarray, "H W"]:
    """Pieces of ink, numbered from 1; pixels that touch at a corner are of one piece."""
    pieces = np.zeros(ink.shape, np.int32)
    ndimage.label(ink, EIGHT, output=pieces)
    return pieces


def _without_specks(pieces: Int32[np.ndarray, "H W"], smallest: float) -> Int32[np.ndarray, "H W"]:
    """The pieces that are at least `smallest` pixels long or wide, numbered as before."""
    keep = [longest_side(box) >= smallest for box in ndimage.find_objects(pieces)]
    return pieces if all(keep) else np.where([False, *keep], range(len(keep) + 1), 0).astype(np.int32)[pieces]


def without_rules(ink: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Ink without thin straight lines from edge to edge, as ruled paper has them; digits on them stay whole.

    Of a line along the rows, pixels go where the ink is no higher than a line; where a stroke crosses it, it is higher.
    If nothing but lines is there, they stay.
    """
    rest = ink
    for _ in range(2):  # along the rows, then along the columns
        rest = _without_rules_along_rows(rest).T
    return rest if rest.any() else ink


def _without_rules_along_rows(ink: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    high, wide = ink.shape
    thin = max(1, min(high, wide) // 30)
    steps = np.diff(np.pad(ink.T, ((0, 0), (1, 1))).ravel().astype(np.int8))
    starts, stops = np.nonzero(steps == 1)[0], np.nonzero(steps == -1)[0]  # of runs down the columns
    columns, tops, lengths = starts // (high + 2), starts % (high + 2), stops - starts
    without_strokes = np.ones(wide, bool)
    without_strokes[columns[lengths > 2 * thin]] = False
    short = lengths <= thin
    between = short & without_strokes[columns]  # a line goes on where there is no digit; a row of bars does not
    if without_strokes.sum() < max(8, 0.15 * wide) or between.sum() < LINE * without_strokes.sum():
        return ink
    best, margin = (0, np.empty(0, int), 0.0), max(1, wide // 14)
    for slope in np.tan(np.radians(np.arange(-4, 4.1, 0.5))):
        where = np.round((tops + lengths / 2 - slope * columns) / 2).astype(int) + wide  # bins of two pixels
        votes = np.bincount(where[between])
        votes = np.convolve(votes, [1, 1, 1], "same")
        ends = [np.bincount(where[near], minlength=len(votes)) for near in (columns < margin, columns >= wide - margin)]
        reach = np.logical_and(*(np.convolve(each[: len(votes)], [1, 1, 1], "same") > 0 for each in ends))
        lines = np.nonzero((votes >= LINE * without_strokes.sum()) & reach)[0]
        if votes.max() > best[0]:
            best = (int(votes.max()), lines, float(slope))
    _, lines, slope = best
    where = np.round((tops + lengths / 2 - slope * columns) / 2).astype(int) + wide
    on_line = np.isin(where, np.unique(np.concatenate([lines - 1, lines, lines + 1]))) & (lengths <= 2 * thin)
    change = np.zeros((wide, high + 1), np.int8)  # 1 where a run of a line begins, -1 after its end
    change[columns[on_line], tops[on_line]] = 1
    change[columns[on_line], (tops + lengths)[on_line]] = -1
    return ink & (change.cumsum(axis=1)[:, :high].T == 0)


def without_frames(pieces: Pieces) -> Pieces:
    """The pieces without those that are frames or strips along the edge, and without a border that a digit touches.

    If nothing but such remains, all stay.
    """
    pieces = _without_border(pieces)
    boxes = {number: box for number, box in enumerate(ndimage.find_objects(pieces), 1) if box is not None}
    left_out = [
        number
        for number, box in boxes.items()
        if (touches_edge(box, pieces.shape) and _along_edge(pieces[box] == number, box, pieces.shape))
        or (longest_side(box) >= SMALLEST_FRAME and _is_frame(pieces, number, box))
    ]
    return pieces if len(left_out) == len(boxes) else np.where(np.isin(pieces, left_out), 0, pieces).astype(np.int32)


def _without_border(pieces: Pieces) -> Pieces:
    """The pieces without lines along three or four edges of the picture, or all of them where there are fewer lines.

    What is left of a piece in two parts has two numbers. Unlike the strokes of a round digit that fills its picture,
    a border goes into the corners, and there is paper beside it.
    """
    ink, border, sides = pieces > 0, np.zeros(pieces.shape, bool), 0
    for axis in (0, 1):
        side, along = pieces.shape[axis], pieces.shape[1 - axis]
        deep = max(2, round(EDGE * side))
        for turned, whole in ((ink, border), (np.flip(ink, axis), np.flip(border, axis))):
            band = turned.take(range(deep), axis)
            if band.any(axis=axis).mean() < 0.5:
                continue
            lines = band & _straight(band, 1 - axis, max(3, int(SPAN * along)))
            if lines.any(axis=axis).mean() >= 0.5 and turned.take(min(deep, side - 1), axis).mean() < 0.5:
                sides += 1
                np.moveaxis(whole, axis, 0)[:deep] |= np.moveaxis(lines, axis, 0)
    rows, columns = (_ends(max(2, round(EDGE / 2 * side))) for side in pieces.shape)
    if sides < 3 or sum(border[row, column].any() for row in rows for column in columns) < 2:
        return pieces
    rest = labelled(ink & ~border)
    longest = max((longest_side(box) for box in ndimage.find_objects(rest)), default=0)
    return rest if longest >= 0.2 * max(pieces.shape) else pieces


def _straight(ink: Bool[np.ndarray, "h w"], axis: int, length: int) -> Bool[np.ndarray, "h w"]:
    """Where ink, made wider by a pixel to either side, goes on so far along an axis."""
    thick = ndimage.maximum_filter1d(ink, 3, axis=1 - axis)
    long = ndimage.minimum_filter1d(thick, length, axis=axis)
    return np.asarray(ndimage.maximum_filter1d(long, length, axis=axis), bool)


def _ends(room: int) -> tuple[slice, slice]:
    return slice(0, room), slice(-room, None)


def _pale_frames(smooth: Grey, least: float) -> Bool[np.ndarray, "H W"]:
    """Where frames are, of which only bits are as dark as ink: what is darker than `least` and a frame is one."""
    pieces = labelled(smooth > least)
    frames = [
        number
        for number, box in enumerate(ndimage.find_objects(pieces), 1)
        if longest_side(box) >= SMALLEST_FRAME and _is_frame(pieces, number, box, SIDES)
    ]
    return np.isin(pieces, frames) if frames else np.zeros(pieces.shape, bool)


def _along_edge(piece: Bool[np.ndarray, "h w"], box: Box, shape: tuple[int, ...]) -> bool:
    """Whether a piece is a strip along one or more edges of the picture, which it touches over half of their length."""
    near, touched = np.zeros_like(piece), False
    for axis in (0, 1):
        side, start, stop = shape[axis], box[axis].start, box[axis].stop
        depth = np.arange(start, stop) if axis == 1 else np.arange(start, stop)[:, None]
        for outer, distance in ((start == 0, depth), (stop == side, side - 1 - depth)):
            if not outer:
                continue
            run = piece & (distance == 0)
            if run.sum() >= 0.5 * shape[1 - axis]:
                touched = True
                near |= distance < max(2, EDGE * side)
    return touched and float((piece & near).sum()) >= 0.85 * float(piece.sum())


def _is_frame(pieces: Pieces, number: int, box: Box, sides: float = 0.0) -> bool:
    """Whether a piece is made of thin straight lines along rows and columns, with ink of another size between them.

    Lines go from one end to the other, in either way so far apart as `sides` says, in parts of the piece.
    """
    piece = pieces[box] == number
    if piece.sum() > 0.5 * piece.size:
        return False
    inside = [longest_side(each) for each in ndimage.find_objects(np.where(piece, 0, pieces[box])) if each is not None]
    if max(inside, default=0) < max(piece.shape) / 25:
        return False
    straight = np.zeros_like(piece)
    for axis, side in enumerate(piece.shape):
        across = piece.shape[1 - axis]
        band = ndimage.maximum_filter1d(piece, max(3, round(0.04 * across)), axis=1 - axis)
        lines = np.nonzero(band.mean(axis=axis) >= 0.85)[0]
        if not len(lines) or np.ptp(lines) < sides * across:
            return False
        straight |= _straight(piece, axis, max(3, int(SPAN * side)))
    thin = 2 * np.max(to_paper(piece)) <= THICKEST * max(piece.shape)
    return bool(thin) and float((straight & piece).sum()) >= 0.8 * float(piece.sum())


def to_paper(ink: Bool[np.ndarray, "h w"]) -> Float64[np.ndarray, "h w"]:
    """From each pixel of ink to the nearest of paper; 0 on paper."""
    return np.asarray(ndimage.distance_transform_edt(ink))


def box_of(ink: Bool[np.ndarray, "H W"]) -> Box:
    """The smallest box around ink, of which there is some."""
    rows, columns = (np.nonzero(ink.any(axis=1 - axis))[0] for axis in (0, 1))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _height(box: Box) -> int:
    return box[0].stop - box[0].start


def longest_side(box: tuple[slice, ...]) -> int:
    return max(part.stop - part.start for part in box)


def touches_edge(box: Box, shape: tuple[int, ...], within: float = 0) -> bool:
    """Whether a box reaches the picture's edge, or comes as near to it as a part of the side."""
    return any(
        part.start <= within * side or part.stop >= (1 - within) * side for part, side in zip(box, shape, strict=True)
    )


def around(one: Box, other: Box) -> Box:
    """The smallest box around two."""
    rows, columns = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True))
    return rows, columns
