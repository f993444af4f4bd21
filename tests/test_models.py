"""Models against other ways to write them; options that change what a model is keep the contract too."""

from typing import Any, cast

import contract
import pytest
import torch
from test_contract import stirred
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from digitset.data.mnist import Splits
from digitset.errors import InputError
from digitset.models.attention_pool import AttentionPool
from digitset.models.deepsets import DeepSets
from digitset.models.gru import Gru
from digitset.models.transformer import Transformer
from digitset.network import Experiment
from digitset.rng import generator
from digitset.run import Run
from digitset.tasks import Task, load_task

SUM, CONTAINS = (load_task(name) for name in ("sum", "contains"))
VARIANTS: list[tuple[str, str, dict[str, Any]]] = [
    ("sum", "gru", {"directions": 2}),
    ("contains", "gru", {"cell": "lstm", "directions": 2}),
    ("sum", "gru", {"cell": "lstm"}),
    ("sum", "deepsets", {"pool": "mean"}),
    ("contains", "transformer", {"layers": 2}),
    ("sum", "transformer", {"layers": 0}),
    ("sum", "transformer", {"readout": "mode"}),
]


@pytest.mark.parametrize(("task", "model", "options"), VARIANTS, ids=str)
@pytest.mark.parametrize("check", contract.CHECKS[:-1], ids=lambda check: check.__name__)
def test_variants_keep_the_contract(task: str, model: str, options: dict[str, Any], check: Any, mnist: Splits) -> None:
    run = Run(task, model, "lenet", model_options=options)
    check(lambda: stirred(Experiment.of(run).build()), load_task(task), mnist.train)


def some_sequences() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = generator(0, "sequences")
    mask = torch.arange(7) < torch.tensor([1, 2, 4, 6, 7])[:, None]
    return torch.randn(5, 7, 16, generator=draw), mask, torch.randn(5, 16, generator=draw)


def test_a_bidirectional_gru_is_torchs() -> None:
    torch.manual_seed(0)
    ours = Gru(16, SUM, 10, hidden=12, directions=2)
    theirs = nn.GRU(16, 12, batch_first=True, bidirectional=True)
    names = {
        f"{name}{suffix}": part
        for part, suffix in ((ours.forwards, ""), (cast(nn.Module, ours.backwards), "_reverse"))
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    }
    theirs.load_state_dict({name: part.state_dict()[name.removesuffix("_reverse")] for name, part in names.items()})
    tokens, mask, _ = some_sequences()
    packed = pack_padded_sequence(tokens, mask.sum(dim=1), batch_first=True, enforce_sorted=False)
    _, last = theirs(packed)
    torch.testing.assert_close(ours(tokens, mask, None), ours.head(last.transpose(0, 1).flatten(1)))


def test_deep_sets_is_a_sum_of_functions() -> None:
    tokens, mask, anchor = some_sequences()
    torch.manual_seed(0)
    model = DeepSets(16, CONTAINS, 10)
    for row in range(5):
        pooled = torch.zeros(256)
        for token in tokens[row, mask[row]]:
            pooled = pooled + model.phi(
                torch.cat([token, anchor[row], token * anchor[row], (token - anchor[row]) ** 2])
            )
        torch.testing.assert_close(model(tokens, mask, anchor)[row], model.rho(pooled))


@pytest.mark.parametrize("task", [SUM, CONTAINS])
def test_attention_pool_is_equation_9(task: Task) -> None:
    tokens, mask, anchor = some_sequences()
    torch.manual_seed(0)
    model = AttentionPool(16, task, 10)
    features, value, gate = (cast(nn.Linear, layers[0]) for layers in (model.features, model.value, model.gate))
    for row in range(5):
        images = tokens[row, mask[row]]
        if task.anchored:
            other = anchor[row].expand_as(images)
            images = torch.cat([images, other, images * other, (images - other) ** 2], dim=1)
        h = nn.functional.gelu(features(images))
        score = (torch.tanh(value(h)) * torch.sigmoid(gate(h))) @ model.score.weight[0]
        weights = score.exp() / score.exp().sum()
        expected = model.head(weights @ h) * (1 if task.anchored else len(images))
        torch.testing.assert_close(model(tokens, mask, anchor if task.anchored else None)[row], expected)
        attention = model.attention(tokens, mask, anchor if task.anchored else None)[row, 0]
        torch.testing.assert_close(attention[: len(images)], weights)
        assert (attention[len(images) :] == 0).all()


def test_the_mode_of_the_levels_is_whole_and_for_evaluation_only() -> None:
    torch.manual_seed(0)
    mean = Transformer(16, SUM, 10, hidden=32, dropout=0.0)
    mode = Transformer(16, SUM, 10, hidden=32, dropout=0.0, readout="mode")
    mode.load_state_dict(mean.state_dict())
    tokens, mask = torch.randn(5, 4, 16), torch.ones(5, 4, dtype=torch.bool)
    torch.testing.assert_close(mean.train()(tokens, mask, None), mode.train()(tokens, mask, None), rtol=0, atol=0)
    soft, hard = mean.eval()(tokens, mask, None), mode.eval()(tokens, mask, None)
    assert torch.equal(hard, hard.round())
    assert not torch.equal(soft, hard)
    with torch.no_grad():
        mode.state_dict()["head.levels"].add_(0.004)  # as training leaves them
    long, present = tokens[:1, :1].expand(1, 500, 16), torch.ones(1, 500, dtype=torch.bool)
    assert torch.equal(mode(long, present, None), 500 * mode(tokens[:1, :1], mask[:1, :1], None))
    with pytest.raises(InputError, match="readout mean or mode"):
        Experiment.of(Run("sum", model_options={"readout": "median"})).build()


@pytest.mark.parametrize(
    ("part", "name", "options", "words"),
    [
        ("model", "mlp", {"hidden": 0}, "expected hidden layers of at least 1 number, got 0"),
        ("model", "deepsets", {"hidden": 0}, "expected hidden layers of at least 1 number, got 0"),
        ("model", "transformer", {"layers": -1}, "expected layers of at least 0, got -1"),
        ("model", "transformer_exact", {"layers": -1}, "expected layers of at least 0, got -1"),
        ("model", "set_transformer", {"inducing": 0}, "expected inducing points of at least 1, got 0"),
        ("encoder", "cnn", {"channels": 0}, "expected convolutions of at least 1 channel, got 0"),
        ("encoder", "cnn", {"channels": 1}, "expected convolutions of at least 1 channel, got 0"),
        ("encoder", "unpadded", {"channels": 0}, "expected convolutions of at least 1 channel, got 0"),
    ],
)
def test_sizes_with_which_nothing_is_left_are_refused(
    part: str, name: str, options: dict[str, int], words: str
) -> None:
    run = Run("sum", **{part: name, f"{part}_options": options})
    with pytest.raises(InputError, match=f"{part} '{name}' cannot be built with .*: {words}"):
        Experiment.of(run).build()
