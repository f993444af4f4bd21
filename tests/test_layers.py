"""Attention against torch's own, in float64."""

import pytest
import torch
from torch import nn

from digitset.layers import Attention, Block, Packing, masked_sum


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
