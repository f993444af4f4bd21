"""Explanations agree with what `predict` says of the same images, and their parts are what they are called."""

import functools
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch

from digitset.data.mnist import load_data
from digitset.encoders.vit import Vit
from digitset.errors import InputError
from digitset.evaluation.calibration import central_interval
from digitset.inference.explain import explain
from digitset.inference.places import rollout
from digitset.inference.predictor import Predictor
from digitset.network import Experiment
from digitset.run import Run

IMAGES = load_data().val.images.numpy()[:8]
ROWS = [(task, model) for task in ("sum", "contains") for model in ("exact", "transformer", "mlp", "gru", "constant")]
ROWS += [("classify", "mlp"), ("sum", "transformer_exact"), ("sum", "attention_pool"), ("maximum", "exact")]


def untrained(task: str, model: str, encoder: str = "lenet", **options: int | float | str) -> Predictor:
    run = Run(task, model, encoder, model_options=options)
    return Predictor(run, Experiment.of(run).build(), torch.device("cpu"))


@pytest.mark.parametrize(("task", "model"), ROWS)
def test_it_says_what_predict_says(task: str, model: str) -> None:
    predictor = untrained(task, model)
    images = IMAGES[:1] if task == "classify" else IMAGES[:4]
    anchor = IMAGES[7] if predictor.task.anchored else None
    explanation = explain(predictor, images, anchor)

    def ask(sequences: list[np.ndarray]) -> np.ndarray:
        return predictor.predict(sequences, None if anchor is None else np.stack([anchor] * len(sequences)))

    near = functools.partial(np.testing.assert_allclose, atol=1e-4, rtol=1e-4)
    near([explanation.answer], ask([images]))
    near(explanation.single_answers, ask([image[None] for image in images]))
    if len(images) > 1:
        left = ask([np.delete(images, i, axis=0) for i in range(len(images))])
        near(explanation.contributions, explanation.answer - left)
    else:
        assert explanation.contributions.isnan().all()
    if explanation.distribution is not None and explanation.certainty is not None:
        assert explanation.distribution.sum() == pytest.approx(1, abs=1e-5)
        answer = round(explanation.answer) if task != "contains" else int(explanation.answer > 0.5)
        assert explanation.certainty == pytest.approx(float(explanation.distribution[answer]))
    assert (explanation.distribution is None) == (
        predictor.network.model.output_kind == "numbers" and predictor.task.kind == "quantity"
    )
    assert (explanation.digit_probabilities is not None) == (model == "exact" and not predictor.task.label_invariant)
    assert (explanation.interval is not None) == (
        explanation.distribution is not None and predictor.task.kind == "quantity"
    )


@pytest.mark.parametrize(("task", "layers"), [("sum", 1), ("sum", 3), ("contains", 0), ("contains", 2)])
def test_attention_rows_and_rollout_are_weights(task: str, layers: int) -> None:
    predictor = untrained(task, "transformer", layers=layers)
    anchor = IMAGES[7] if task == "contains" else None
    explanation = explain(predictor, IMAGES[:5], anchor)
    assert explanation.attention is not None
    assert explanation.rollout is not None
    assert explanation.rollout.shape == (5,)
    assert float(explanation.rollout.sum()) == pytest.approx(1, abs=1e-5)
    if layers:
        assert explanation.pairwise is not None
        torch.testing.assert_close(explanation.pairwise.sum(dim=-1), torch.ones(4, 5))
    if layers == 1:  # half of what it gives, half of itself
        assert explanation.pairwise is not None
        received = explanation.pairwise.mean(dim=0).mean(dim=0)
        torch.testing.assert_close(explanation.rollout, 0.5 * received + 0.5 * torch.full((5,), 0.2))
        torch.testing.assert_close(explanation.attention.mean(dim=0), received)
    if task == "contains" and not layers:
        assert explanation.pairwise is None
        torch.testing.assert_close(explanation.rollout, explanation.attention.mean(dim=0))


@pytest.mark.parametrize(
    ("task", "model"), [("classify", "mlp"), ("sum", "exact"), ("sum", "transformer"), ("contains", "transformer")]
)
def test_places(task: str, model: str) -> None:
    """Weights sum to 1, and to erase a place is to ask about the rest of the image."""
    predictor = untrained(task, model, encoder="vit")
    images = IMAGES[:1] if task == "classify" else IMAGES[:3]
    anchor = IMAGES[7] if task == "contains" else None
    places = explain(predictor, images, anchor).places
    assert places is not None
    n = len(images)
    assert places.heads.shape == (n, 8, 4, 4)
    torch.testing.assert_close(places.heads.sum(dim=(2, 3)), torch.ones(n, 8))
    torch.testing.assert_close(places.rollout.sum(dim=(1, 2)), torch.ones(n))
    rest = images[-1:].copy()
    rest[0, 7:14, 14:21] = 0
    for erased, expected in ((images[-1:], 0.0), (rest, float(places.erased[-1, 1, 2]))):
        batch = predictor.batch([images[-1:], erased], None if anchor is None else np.stack([anchor] * 2))
        with torch.inference_mode():
            output = predictor.network(batch)
        kind = predictor.network.model.output_kind
        answer = predictor.task.answer(predictor.task.decode(output[:1], kind)).round().long()
        losses = predictor.task.training_loss(output, kind, answer.expand(2))
        assert float(losses[1] - losses[0]) == pytest.approx(expected, abs=1e-4)
    assert explain(untrained(task, model), images, anchor).places is None
    if task == "sum":
        assert explain(untrained(task, "constant", encoder="vit"), images).places is None


def test_places_of_any_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    """5 x 5 places: the last column is what is right of pixel 22."""
    monkeypatch.setattr(Vit, "attention", lambda _, images: ([], torch.full((len(images), 1, 25), 0.04)))
    predictor = untrained("classify", "mlp", encoder="vit")
    image = IMAGES[:1].copy()
    image[0, :, :22] = 0
    places = explain(predictor, image).places
    assert places is not None
    assert places.erased.shape == (1, 5, 5)
    assert (places.erased[0, :, :4] == 0).all()


def test_what_pools_is_what_is_shown() -> None:
    """The vector of an image is made with the pooling weights, after the layers whose attention is shown."""
    predictor = untrained("classify", "mlp", encoder="vit")
    encoder = cast(Vit, predictor.network.encoder)
    inputs = list[torch.Tensor]()
    encoder.look.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    pixels = predictor.network.pixels(torch.from_numpy(IMAGES))
    with torch.inference_mode():
        vectors, (layers, pooling) = encoder(pixels), encoder.attention(pixels)
        torch.testing.assert_close(inputs[0], inputs[1])
        torch.testing.assert_close(encoder.embedding((pooling @ inputs[0]).flatten(1)), vectors)
    assert len(layers) == 3


def test_rollout_goes_through_all_layers() -> None:
    """Attention that always takes the first token, twice: a quarter of the weight is left where it was."""
    first = torch.zeros(1, 2, 4, 4)
    first[..., 0] = 1
    rolled = rollout([first, first], torch.tensor([[[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]]]))
    torch.testing.assert_close(rolled, torch.tensor([[0.75, 0.0, 0.125, 0.125]]))


def test_order_moves_an_explanation_with_its_image() -> None:
    predictor = untrained("sum", "transformer", layers=2)
    order = [3, 0, 2, 1]
    there, here = explain(predictor, IMAGES[:4]), explain(predictor, IMAGES[:4][order])
    for name in ("single_answers", "contributions", "rollout"):
        torch.testing.assert_close(getattr(here, name), getattr(there, name)[order], rtol=1e-4, atol=1e-4)


def test_interval_is_the_central_one() -> None:
    weights = torch.rand(200, 12, generator=torch.Generator().manual_seed(0)) ** 6
    chances = weights / weights.sum(dim=1, keepdim=True)
    low, high = central_interval(chances, 0.9)
    for row, first, last in zip(chances.double(), low.tolist(), high.tolist(), strict=True):
        assert row[:first].sum() <= 0.05 + 1e-6
        assert row[: first + 1].sum() > 0.05 - 1e-6
        assert row[last + 1 :].sum() <= 0.05 + 1e-6
        assert row[last:].sum() > 0.05 - 1e-6
    certain = torch.eye(5)
    assert torch.equal(torch.stack(central_interval(certain, 0.9)), torch.arange(5).repeat(2, 1))


def test_mistakes_are_those_of_predict() -> None:
    with pytest.raises(InputError, match="takes no anchors"):
        explain(untrained("sum", "exact"), IMAGES, IMAGES[0])
    with pytest.raises(InputError, match="expects anchors"):
        explain(untrained("contains", "exact"), IMAGES)
    predictor = untrained("sum", "mlp")
    with pytest.raises(InputError, match="at most 10"):
        explain(predictor, np.repeat(IMAGES, 2, axis=0))
    assert replace(explain(predictor, IMAGES), answer=0.0).attention is None
