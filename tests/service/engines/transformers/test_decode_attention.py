"""A decoding step's attention against plain attention over each row's prefix and own tokens."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engines.transformers.decode_attention import DecodePlan
from service.engines.transformers.kv_cache import CacheShape, DecodeCache, KVCache

SHAPE = CacheShape(layers=2, heads=2, head_dim=8, dtype=torch.float32)
QUERY_HEADS = 6

# Tokens of each prefix (300: too many to be copied), and how many rows share it.
prefixes = st.lists(st.tuples(st.sampled_from([1, 2, 5, 17, 40, 300]), st.integers(1, 6)), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(shared=prefixes, seed=st.integers(0, 2**16))
def test_rows_attend_to_their_prefix_and_their_own_tokens(shared: list[tuple[int, int]], seed: int) -> None:
    torch.manual_seed(seed)
    caches = [_prefix(tokens) for tokens, _ in shared]
    of_row = [cache for cache, (_, rows) in zip(caches, shared, strict=True) for _ in range(rows)]
    of_row = [of_row[at] for at in torch.randperm(len(of_row)).tolist()]
    slots, owned = _slots(len(of_row))
    query = torch.randn(1, QUERY_HEADS, len(of_row), SHAPE.head_dim)
    key, value = torch.randn(2, 1, SHAPE.heads, len(of_row), SHAPE.head_dim)
    plan = DecodePlan(of_row, slots)
    found = plan.attend(1, query, key, value, 0.3)
    assert plan.positions.tolist() == [cache.length + own for cache, own in zip(of_row, owned, strict=True)]
    assert slots.lengths == [own + 1 for own in owned]
    for row, (cache, own) in enumerate(zip(of_row, owned, strict=True)):
        keys = torch.cat([cache.keys[1, 0, :, : cache.length], slots.keys[1, row, :, : own + 1]], dim=1)
        values = torch.cat([cache.values[1, 0, :, : cache.length], slots.values[1, row, :, : own + 1]], dim=1)
        assert torch.equal(slots.keys[1, row, :, own], key[0, :, row])
        expected = torch.nn.functional.scaled_dot_product_attention(
            query[:, :, row, None], keys[None], values[None], scale=0.3, enable_gqa=True
        )[0, :, 0]
        assert torch.allclose(found[row], expected, atol=1e-5)


def _prefix(tokens: int) -> KVCache:
    """With NaN behind its tokens: what is not there must not be read."""
    made = KVCache(SHAPE, tokens + 3)
    made.length = tokens
    for held in (made.keys, made.values):
        held.normal_()
        held[:, :, :, tokens:] = float("nan")
    return made


def _slots(count: int) -> tuple[DecodeCache, list[int]]:
    slots = DecodeCache(SHAPE)
    for _ in range(count):
        slots.add(12)
    slots.keys.normal_()
    slots.values.normal_()
    owned = torch.randint(0, 11, (count,)).tolist()
    slots.lengths = list(owned)
    return slots, owned
