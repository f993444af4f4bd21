"""Statistics over seeds, against scipy, textbook values and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from digitset.bench.statistics import differences, error_of_test_set, holm, mean, ranks
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


def test_ranks_tie_where_the_data_do_not_separate() -> None:
    noise = [0.0, 0.001, -0.001, 0.0005, -0.0005]
    scores = {
        "good": {seed: 0.95 + noise[seed] for seed in range(5)},
        "as good": {seed: 0.95 + noise[-1 - seed] for seed in range(5)},
        "worse": {seed: 0.85 + noise[(seed + 2) % 5] for seed in range(5)},
        "worst": {seed: 0.10 + noise[(seed + 1) % 5] for seed in range(5)},
    }
    assert ranks(scores, differences(scores)) == {"good": 1, "as good": 1, "worse": 3, "worst": 4}


def test_the_error_of_a_test_set_is_binomial() -> None:
    assert error_of_test_set(*wilson(0.9, 10_000)) == pytest.approx(math.sqrt(0.9 * 0.1 / 10_000), rel=1e-3)
