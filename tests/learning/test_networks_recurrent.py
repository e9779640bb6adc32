"""Recurrent networks against their equations, one bar after the other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ranking_pipeline.learning.networks import NetworkSpec, make_network
from ranking_pipeline.learning.networks.attentive_recurrent import (
    AttentiveRecurrentNetwork,
)
from ranking_pipeline.learning.networks.recurrent import RecurrentNetwork


def states_by_hand(cell: nn.Module, rows: Tensor) -> Tensor:
    """All states (N, L, H) of one recurrent layer that reads rows (N, L, width)."""
    weight, bias = cell.weight_ih_l0, cell.bias_ih_l0
    recurrent, shift = cell.weight_hh_l0, cell.bias_hh_l0
    state = memory = rows.new_zeros(len(rows), recurrent.shape[1])
    states = []
    for bar in range(rows.shape[1]):
        new, old = rows[:, bar] @ weight.T + bias, state @ recurrent.T + shift
        if isinstance(cell, nn.LSTM):
            keep_new, keep_old, candidate, show = (new + old).chunk(4, 1)
            memory = keep_old.sigmoid() * memory + keep_new.sigmoid() * candidate.tanh()
            state = show.sigmoid() * memory.tanh()
        else:
            (reset, update, candidate), (r, u, c) = new.chunk(3, 1), old.chunk(3, 1)
            share = (update + u).sigmoid()
            fresh = (candidate + (reset + r).sigmoid() * c).tanh()
            state = share * state + (1 - share) * fresh
        states.append(state)
    return torch.stack(states, 1)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_the_last_state_is_scored(name: str) -> None:
    body = make_network(NetworkSpec(name, 8), (7, 5), 3, seed=1).double().body
    assert isinstance(body, RecurrentNetwork)
    windows = torch.randn(4, 7, 5, dtype=torch.float64)
    last = states_by_hand(body.body, windows)[:, -1]
    torch.testing.assert_close(body(windows), body.head(last))


def test_the_attentive_network_follows_its_equations() -> None:
    body = make_network(NetworkSpec("alstm", 8), (7, 5), 3, seed=1).double().body
    assert isinstance(body, AttentiveRecurrentNetwork)
    windows = torch.randn(4, 7, 5, dtype=torch.float64)
    mapped = torch.tanh(windows @ body.inlet.weight.T + body.inlet.bias)
    states = states_by_hand(body.body, mapped)
    matrix, bias, final = (weight.data for weight in body.relevance.parameters())
    rows = []
    for window in range(4):
        use = [final[0] @ torch.tanh(matrix @ h + bias) for h in states[window]]
        weights = torch.stack(use).softmax(0)
        summary = sum(w * h for w, h in zip(weights, states[window], strict=True))
        rows.append(torch.cat([summary, states[window, -1]]))  # type: ignore[list-item]
    expected = torch.stack(rows) @ body.head.weight.T + body.head.bias
    torch.testing.assert_close(body(windows), expected)


def test_gradients_of_the_attentive_network() -> None:
    body = make_network(NetworkSpec("alstm", 4), (3, 2), seed=1).double().body
    windows = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(body, (windows,))


@pytest.mark.parametrize("name", ["lstm", "gru", "alstm"])
@pytest.mark.filterwarnings("error")
def test_states_are_dropped_between_layers(name: str) -> None:
    for layers, dropout in ((1, 0.0), (2, 0.3)):
        body = make_network(NetworkSpec(name, 8, layers, 0.3), (7, 5), seed=1).body
        assert isinstance(body, RecurrentNetwork | AttentiveRecurrentNetwork)
        assert body.body.dropout == dropout
        assert body.dropout.p == 0.3
