"""Attention against torch's own, in float64, and its two ways against each other."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from digitset import layers
from digitset.layers import Attention, Block, Packing, attend, fused, masked_sum, plain


def pair() -> tuple[Attention, nn.MultiheadAttention]:
    torch.manual_seed(0)
    ours = Attention(24, 4).double()
    theirs = nn.MultiheadAttention(24, 4, batch_first=True, dtype=torch.float64)
    parts = (ours.query, ours.key, ours.value)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    return ours, theirs


@pytest.mark.parametrize("queries", [1, 5])
def test_attention_is_torchs(queries: int) -> None:
    ours, theirs = pair()
    query = torch.randn(6, queries, 24, dtype=torch.float64)
    context = torch.randn(6, 9, 24, dtype=torch.float64)
    mask = torch.arange(9) < torch.tensor([1, 2, 4, 6, 8, 9])[:, None]
    expected, weights = theirs(query, context, context, key_padding_mask=~mask, average_attn_weights=False)
    packing = Packing.of(mask)
    packed = packing.pack(context)
    torch.testing.assert_close(ours(query, packed, packing), expected)
    torch.testing.assert_close(ours.weights(query, packed, packing), weights)
    assert (ours.weights(query, packed, packing)[~mask[:, None, None].expand(-1, 4, queries, -1)] == 0).all()


def test_block_is_torchs_layer() -> None:
    torch.manual_seed(0)
    ours = Block(24, 4, 48, dropout=0.0).double()
    theirs = nn.TransformerEncoderLayer(24, 4, 48, 0.0, "gelu", batch_first=True, norm_first=True, dtype=torch.float64)
    attention = (ours.attention.query, ours.attention.key, ours.attention.value)
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(torch.cat([part.weight for part in attention]))
        theirs.self_attn.in_proj_bias.copy_(torch.cat([part.bias for part in attention]))
    theirs.self_attn.out_proj.load_state_dict(ours.attention.out.state_dict())
    theirs.linear1.load_state_dict(ours.perceptron[0].state_dict())
    theirs.linear2.load_state_dict(ours.perceptron[3].state_dict())
    theirs.norm1.load_state_dict(ours.attention_norm.state_dict())
    theirs.norm2.load_state_dict(ours.perceptron_norm.state_dict())
    tokens = torch.randn(5, 7, 24, dtype=torch.float64)
    mask = torch.arange(7) < torch.tensor([1, 3, 5, 6, 7])[:, None]
    theirs.train()  # in evaluation it takes a path of its own that drops fully masked columns
    expected = theirs(tokens, src_key_padding_mask=~mask)
    packing = Packing.of(mask)
    torch.testing.assert_close(ours(packing.pack(tokens), packing), expected[mask])
    torch.testing.assert_close(ours(tokens), theirs(tokens))


def rows_of(shown: list[int], keys: int) -> tuple[torch.Tensor, ...]:
    """Random queries, keys, values and upstream gradients of rows that show so many keys."""
    torch.manual_seed(0)
    visible = (torch.arange(keys) < torch.tensor(shown)[:, None])[:, None, None]
    query, key, value, upstream = (torch.randn(len(shown), 2, keys, 4, dtype=torch.float64) for _ in range(4))
    return query.requires_grad_(), key.requires_grad_(), value.requires_grad_(), visible, upstream


@pytest.mark.parametrize(("shown", "keys"), [([1, 1], 1), ([0, 1, 4, 7], 7), ([16, 3], 16)])
@pytest.mark.parametrize("masked", [True, False])
def test_both_ways_of_attention_are_one(shown: list[int], keys: int, masked: bool) -> None:
    """Values and gradients, at length 1 and in a row that shows nothing, where both are 0 and nothing is NaN."""
    query, key, value, visible, upstream = rows_of(shown, keys)
    parts, mask = (query, key, value), visible if masked else None
    none = torch.zeros_like(visible) if mask is None else ~visible
    ours, theirs = (way(query, key, value.masked_fill(none.transpose(2, 3), 0), mask) for way in (plain, fused))
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(torch.autograd.grad(ours, parts, upstream), torch.autograd.grad(theirs, parts, upstream))
    if masked and 0 in shown:
        assert (ours[shown.index(0)] == 0).all()


@pytest.mark.parametrize("way", [plain, fused])
def test_hidden_keys_change_no_bit(way: Callable[..., torch.Tensor]) -> None:
    query, key, value, visible, _ = rows_of([1, 4, 7], 7)
    value = value.masked_fill(~visible.transpose(2, 3), 0)
    other = torch.where(visible.transpose(2, 3), key, 1e3 * torch.ones_like(key))
    assert way(query, key, value, visible).equal(way(query, other, value, visible))


def test_which_way_attention_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain for few keys with gradients, fused for many and without; the bounds are those of the precision."""
    taken = list[str]()
    monkeypatch.setattr(layers, "plain", lambda q, *_: taken.append("plain") or q)
    monkeypatch.setattr(layers, "fused", lambda q, *_: taken.append("fused") or q)
    monkeypatch.setattr(layers, "PLAIN_KEYS", {torch.float32: 3, torch.bfloat16: 5})
    for keys, dtype, grad in [(3, torch.float32, True), (4, torch.float32, True), (3, torch.float32, False)]:
        query = torch.zeros(1, 1, keys, 2, dtype=dtype, requires_grad=grad)
        attend(query, query, query, None)
    for keys in (5, 6):
        query = torch.zeros(1, 1, keys, 2, dtype=torch.bfloat16, requires_grad=True)
        attend(query, query, query, None)
    query = torch.zeros(1, 1, 1, 2, dtype=torch.float64, requires_grad=True)
    attend(query, query, query, None)
    assert taken == ["plain", "fused", "fused", "plain", "fused", "fused"]


def test_queries_that_all_rows_share_are_as_if_repeated() -> None:
    ours, _ = pair()
    query, context = torch.randn(1, 3, 24, dtype=torch.float64), torch.randn(6, 9, 24, dtype=torch.float64)
    packing = Packing.of(torch.arange(9) < torch.tensor([1, 2, 4, 6, 8, 9])[:, None])
    packed = packing.pack(context)
    torch.testing.assert_close(ours(query, packed, packing), ours(query.repeat(6, 1, 1), packed, packing))
    torch.testing.assert_close(
        ours.weights(query, packed, packing), ours.weights(query.repeat(6, 1, 1), packed, packing)
    )


def test_packing_leaves_padding_out_and_puts_zeros_back() -> None:
    mask = torch.tensor([[True, False, True], [False, False, True]])
    tokens = torch.arange(12, dtype=torch.float32).view(2, 3, 2)
    tokens[~mask] = float("nan")
    packing = Packing.of(mask)
    assert packing.pack(tokens).tolist() == [[0, 1], [4, 5], [10, 11]]
    assert packing.unpack(packing.pack(tokens)).equal(tokens.nan_to_num(0))


def test_masked_sum_does_not_look_at_padding() -> None:
    tokens = torch.tensor([[[1.0], [2.0], [float("nan")]]])
    assert masked_sum(tokens, torch.tensor([[True, True, False]])).tolist() == [[3.0]]
