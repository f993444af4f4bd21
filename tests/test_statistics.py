"""Statistics over seeds, against scipy, textbook values and simulation."""

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from digitset.bench.statistics import (
    LEVEL,
    Difference,
    detectable_effect,
    differences,
    error_of_test_set,
    holm,
    letters,
    mean,
)
from digitset.evaluation.evaluate import wilson

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_the_interval_is_students() -> None:
    values = [0.98, 0.975, 0.991, 0.984, 0.979]
    found = mean(values)
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high))
    assert found.deviation == pytest.approx(np.std(values, ddof=1))


def test_one_seed_has_no_interval() -> None:
    assert math.isnan(mean([0.5]).half)
    with pytest.raises(ValueError, match="got none"):
        mean([])


def test_the_interval_covers_what_it_says() -> None:
    draw = np.random.default_rng(0)
    found = [mean(list(draw.normal(0.9, 0.01, 5))) for _ in range(4_000)]
    covered = np.mean([abs(one.mean - 0.9) < one.half for one in found])
    assert covered == pytest.approx(0.95, abs=0.012)


def test_a_pair_is_tested_over_shared_seeds() -> None:
    a = {0: 0.91, 1: 0.95, 2: 0.93, 3: 0.94, 9: 0.1}
    b = {0: 0.90, 1: 0.93, 2: 0.925, 3: 0.92, 8: 0.9}
    (pair,) = differences({"a": a, "b": b})
    expected = stats.ttest_rel([a[s] for s in range(4)], [b[s] for s in range(4)])
    assert pair.n == 4
    assert pair.p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert (pair.mean - pair.half, pair.mean + pair.half) == pytest.approx((low, high))


def test_pairs_that_cannot_be_tested() -> None:
    (one_seed,) = differences({"a": {0: 0.5}, "b": {0: 0.4}})
    assert math.isnan(one_seed.p)
    assert not one_seed.holds
    (two_seeds,) = differences({"a": {0: 0.5, 1: 0.75}, "b": {0: 0.25, 1: 0.5}})
    assert math.isnan(two_seeds.p)
    assert differences({"a": {0: 0.5}, "b": {1: 0.4}}) == []
    three = {0: 0.5, 1: 0.75, 2: 0.5}
    (equal,) = differences({"a": three, "b": three})
    assert equal.p == 1
    for gap in (0.25, 0.1):  # in floating point, one is the same for all seeds and the other is nearly
        (constant,) = differences({"a": three, "b": {seed: value - gap for seed, value in three.items()}})
        assert math.isnan(constant.p)


def test_holm_on_a_textbook_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([math.nan, 0.02])[1] == pytest.approx(0.02)


@given(P_VALUES)
def test_holm_keeps_order_and_lies_between_none_and_bonferroni(p: list[float]) -> None:
    corrected = holm(p)
    for one, other in zip(p, corrected, strict=True):
        assert one <= other <= min(1.0, len(p) * one) + 1e-12
    order = np.argsort(p, kind="stable")
    assert list(np.array(corrected)[order]) == sorted(corrected)


def test_no_false_claim_among_equals_more_often_than_stated() -> None:
    draw = np.random.default_rng(1)
    claims = 0
    for _ in range(400):
        scores = {name: dict(enumerate(draw.normal(0.9, 0.01, 5))) for name in "abcde"}
        claims += any(pair.holds for pair in differences(scores))
    assert claims / 400 < 0.03  # .01 is stated; 3 standard errors of 400 draws are .015


ROWS = "abcdefg"
PAIRS = list(itertools.combinations(ROWS, 2))


def groups(given: dict[str, str]) -> dict[str, set[str]]:
    """The rows of each letter."""
    found: dict[str, set[str]] = {}
    for name, text in given.items():
        for letter in re.findall(r"[a-z]\d*", text):
            found.setdefault(letter, set()).add(name)
    return found


@given(st.lists(st.sampled_from([1e-6, LEVEL, 0.5, math.nan, None]), min_size=len(PAIRS), max_size=len(PAIRS)))
def test_two_rows_share_a_letter_if_and_only_if_no_test_separates_them(p: list[float | None]) -> None:
    tested = [(*pair, value) for pair, value in zip(PAIRS, p, strict=True) if value is not None]
    pairs = [Difference(first, second, 5, 0.1, 0.1, value, 0.1) for first, second, value in tested]
    found = groups(letters(ROWS, pairs))
    separated = {(first, second) for first, second, value in tested if value < LEVEL}
    for pair in PAIRS:
        assert any(set(pair) <= group for group in found.values()) == (pair not in separated)
    assert set().union(*found.values()) == set(ROWS)
    for group in found.values():
        assert not any(group < other for other in found.values()), "a letter that another one makes needless"
    firsts = [min(found[letter]) for letter in sorted(found)]
    assert firsts == sorted(firsts)


def test_letters_go_on_after_z() -> None:
    names = [f"row {index:02}" for index in range(30)]
    pairs = [Difference(*pair, 5, 0.1, 0.1, 0.0, 0.1) for pair in itertools.combinations(names, 2)]
    found = letters(names, pairs)
    assert (found["row 00"], found["row 25"], found["row 26"]) == ("a", "z", "a1")
    assert len(set(found.values())) == 30


@pytest.mark.parametrize(("n", "tests"), [(3, 3), (5, 28), (20, 1)])
def test_a_detectable_difference_is_found_as_often_as_stated(n: int, tests: int) -> None:
    draw = np.random.default_rng(2)
    seen = draw.normal(detectable_effect(n, tests), 1, (40_000, n))
    found = np.asarray(stats.ttest_1samp(seen, 0, axis=1)[1]) < LEVEL / tests
    assert found.mean() == pytest.approx(0.8, abs=0.01)  # 5 standard errors


def test_the_detectable_difference_of_a_pair_grows_with_the_scatter_of_its_seeds() -> None:
    steady = {"a": [0.9, 0.91, 0.92, 0.93], "b": [0.8, 0.82, 0.81, 0.83], "c": [0.1, 0.9, 0.5, 0.3]}
    found = {(p.first, p.second): p for p in differences({k: dict(enumerate(v)) for k, v in steady.items()})}
    deviation = np.std(np.subtract(steady["a"], steady["b"]), ddof=1)
    assert found["a", "b"].detectable == pytest.approx(deviation * detectable_effect(4, tests=3))
    assert found["a", "c"].detectable > 20 * found["a", "b"].detectable
    (untested,) = differences({"a": {0: 0.5, 1: 0.75}, "b": {0: 0.25, 1: 0.6}})
    assert math.isnan(untested.detectable)


def test_the_error_of_a_test_set_is_binomial() -> None:
    assert error_of_test_set(*wilson(0.9, 10_000)) == pytest.approx(math.sqrt(0.9 * 0.1 / 10_000), rel=1e-3)
