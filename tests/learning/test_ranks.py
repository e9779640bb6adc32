"""Ranks inside cross-sections: by hand, and against a search of every value."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.learning.ranks import average_ranks, tie_bounds


def searched(values: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
    """Names below each value and names not above it, found one by one."""
    filled = torch.where(mask, values, torch.inf).contiguous()
    ordered = filled.sort(dim=1).values
    return [torch.searchsorted(ordered, filled, right=right) for right in (False, True)]


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    levels=st.sampled_from([1, 2, 9, 10**6]),
    shape=st.tuples(st.integers(0, 4), st.integers(0, 40)),
    share=st.sampled_from([0.0, 0.1, 0.8, 1.0]),
    double=st.booleans(),
)
def test_runs_are_those_that_a_search_finds(
    seed: int, levels: int, shape: tuple[int, int], share: float, double: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(shape, generator=generator, dtype=torch.float64)
    values = (draws * levels).round() / levels
    values = values if double else values.float()
    mask = torch.rand(shape, generator=generator) < share
    below, up_to = searched(values, mask)
    dirty = torch.where(mask, values, torch.nan)
    for found, expected in zip(tie_bounds(dirty, mask), (below, up_to), strict=True):
        assert found.dtype == torch.int32
        assert torch.equal(found[mask].long(), expected[mask])
    ranks = average_ranks(dirty, mask)
    assert torch.equal(ranks[mask], ((below + up_to + 1).double() / 2)[mask])


def test_ties_share_their_rank_and_zero_has_no_sign() -> None:
    values = torch.tensor([[0.0, 3.0, -0.0, -1.0, 3.0, 3.0]])
    mask = torch.tensor([[True, True, True, True, True, False]])
    below, up_to = tie_bounds(values, mask)
    assert below[mask].tolist() == [1, 3, 1, 0, 3]
    assert up_to[mask].tolist() == [3, 5, 3, 1, 5]
    assert average_ranks(values, mask)[mask].tolist() == [2.5, 4.5, 2.5, 1.0, 4.5]
