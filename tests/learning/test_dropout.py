"""Dropout drawn four units at a time: its share, its scale, its generator."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ranking_pipeline.learning.networks.base import Dropout


@pytest.mark.parametrize("share", [0.1, 0.5, 0.7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_share_dropped_and_the_scale_of_what_is_kept(
    share: float, dtype: torch.dtype
) -> None:
    torch.manual_seed(3)
    values = torch.ones((1001, 999), dtype=dtype, requires_grad=True)
    dropped = Dropout(share)(values)
    assert dropped.dtype == dtype
    gone = (dropped == 0).double().mean().item()
    assert gone == pytest.approx(share, abs=3e-3)  # six deviations
    kept = dropped[dropped != 0].unique()
    assert len(kept) == 1
    # What is kept is scaled by the share that is really kept: the mean stays.
    assert kept.item() == pytest.approx(1 / (1 - share), rel=1e-4)
    dropped.sum().backward()
    assert torch.equal(values.grad, dropped.detach())


def test_units_are_dropped_apart() -> None:
    torch.manual_seed(5)
    dropped = (Dropout(0.5)(torch.ones(400_000)) == 0).double() - 0.5
    for lag in (1, 2, 3, 4):  # four neighbours come from one number
        together = (dropped[lag:] * dropped[:-lag]).mean().item()
        assert together == pytest.approx(0, abs=0.25 * 6 / 632)


def test_the_seed_decides_and_the_shape_is_free() -> None:
    layer, values = Dropout(0.4), torch.ones(3, 5, 7).transpose(0, 2)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(layer(values))
    assert found[0].shape == values.shape
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert layer(torch.empty(0, 4)).shape == (0, 4)


def test_nothing_is_dropped_outside_training_or_at_zero() -> None:
    values = torch.randn(40, 3)
    assert torch.equal(Dropout(0.5).eval()(values), values)
    assert torch.equal(Dropout(0.0)(values), values)
    assert not Dropout(0.999999)(values).isinf().any()
    assert isinstance(Dropout(0.5), nn.Dropout)
    assert Dropout(0.5).state_dict() == {}
