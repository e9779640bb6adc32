"""Threads: what training on one and on two of them has in common."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from ranking_world import World, make_spec, make_world

from ranking_pipeline.learning.loop import LoopConfig
from ranking_pipeline.learning.networks import NetworkSpec
from ranking_pipeline.ranking.ranker import Ranker, score_panel, train_ranker

LOOP = LoopConfig(epochs=1, timestamps_per_batch=16, learning_rate=1e-2)
# Their layers sum nothing over rows that torch parts by thread.
EXACT = ("mlp", "gru")
# Gradients of LayerNorm's and Conv1d's parameters are sums of one part per thread.
ROUNDED = ("tcn",)


@cache
def market() -> World:
    return make_world()


def on_one_and_two(network: str) -> tuple[Ranker, Ranker]:
    spec = make_spec(network=NetworkSpec(network, 8, 1, 0.1), seeds=(0,), loop=LOOP)
    one, two = (train_ranker(market().data, spec, threads=n) for n in (1, 2))
    return one, two


@pytest.mark.parametrize("network", EXACT)
def test_one_and_two_threads_give_the_same_bits(network: str) -> None:
    one, two = on_one_and_two(network)
    assert one.history == two.history
    assert one.metrics == pytest.approx(two.metrics, rel=0, abs=0, nan_ok=True)
    for name, value in one.states[0].items():
        assert torch.equal(value, two.states[0][name]), name


@pytest.mark.parametrize("network", ROUNDED)
def test_networks_that_sum_by_thread_rank_alike(network: str) -> None:
    scores = [score_panel(one, market().ohlcv) for one in on_one_and_two(network)]
    known = np.isfinite(scores[0])
    assert (known == np.isfinite(scores[1])).all()
    assert np.corrcoef(scores[0][known], scores[1][known])[0, 1] > 0.999
