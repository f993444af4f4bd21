"""Calibration: laws that hold for any probabilities, and what comes out by hand."""

import pytest
import torch

from digitset.evaluation.calibration import (
    BINS,
    brier,
    calibration_scores,
    coverage,
    expected_calibration_error,
    reliability,
)

DRAW = torch.Generator().manual_seed(0)
CHANCES = torch.randn(20_000, 10, generator=DRAW).mul(2).softmax(dim=1)
DRAWN = torch.multinomial(CHANCES, 1, generator=DRAW)[:, 0]  # truth that comes about with these very chances


def test_chances_that_come_true_are_calibrated_and_bolder_ones_are_not() -> None:
    bins = reliability(CHANCES, DRAWN)
    assert sum(part.n for part in bins) == len(DRAWN)
    assert all(part.low <= part.certainty <= part.high for part in bins)
    assert expected_calibration_error(bins) < 0.012
    assert coverage(CHANCES, DRAWN) >= 0.9
    bolder = CHANCES.pow(3) / CHANCES.pow(3).sum(dim=1, keepdim=True)
    assert expected_calibration_error(reliability(bolder, DRAWN)) > 0.1
    assert coverage(bolder, DRAWN) < 0.85
    assert brier(bolder, DRAWN, "classes") > brier(CHANCES, DRAWN, "classes")


def test_certain_answers() -> None:
    certain = torch.eye(4)
    truth = torch.arange(4)
    assert expected_calibration_error(reliability(certain, truth)) == 0
    assert brier(certain, truth, "classes") == 0
    assert expected_calibration_error(reliability(certain, (truth + 1) % 4)) == 1
    assert brier(certain, (truth + 1) % 4, "classes") == 2
    assert reliability(certain, truth)[0].high == 1.0
    assert coverage(certain, truth) == 1


def test_by_hand() -> None:
    chances = torch.tensor([[0.3, 0.7], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
    truth = torch.tensor([1, 1, 1, 0])
    bins = reliability(chances, truth)
    assert [(part.n, part.accuracy) for part in bins] == [(1, 0.0), (2, 0.5), (1, 1.0)]
    assert expected_calibration_error(bins) == pytest.approx((0.6 + 2 * 0.2 + 0.2) / 4)
    assert brier(chances, truth, "binary") == pytest.approx((0.09 + 0.36 + 0.04 + 0.49) / 4)  # of the chance of yes
    assert brier(chances, truth, "count") == pytest.approx(2 * 0.245)  # one of two counts is not a yes
    assert brier(torch.cat([chances, torch.zeros(4, 1)], dim=1), truth, "classes") == pytest.approx(2 * 0.245)
    assert BINS == 15


def test_what_is_reported() -> None:
    for kind in ("binary", "classes", "count"):
        assert set(calibration_scores(CHANCES, DRAWN, kind)) == {"ece", "brier"}
    assert set(calibration_scores(CHANCES, DRAWN, "quantity")) == {"coverage90"}
    assert calibration_scores(None, DRAWN, "classes") == {}
