"""Networks: shapes, seeds, and refusal of unknown names."""

from __future__ import annotations

import pytest
import torch

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.device import resolve_device, torch_threads
from ranking_pipeline.learning.networks import (
    NetworkSpec,
    make_network,
    network_names,
)


@pytest.mark.parametrize("name", network_names())
@pytest.mark.parametrize("outputs", [1, 3])
def test_one_row_of_scores_per_window(name: str, outputs: int) -> None:
    network = make_network(NetworkSpec(name, 8, 2, 0.1), (6, 5), outputs, seed=1).eval()
    windows = torch.randn(7, 6, 5)
    scores = network(windows)
    assert scores.shape == ((7,) if outputs == 1 else (7, 3))
    assert scores.dtype == torch.float32
    # Each window is scored on its own.
    torch.testing.assert_close(network(windows[2:4]), scores[2:4])


@pytest.mark.parametrize("name", network_names())
def test_weights_come_from_the_seed_and_leave_the_global_one_alone(name: str) -> None:
    def weights(seed: int) -> torch.Tensor:
        network = make_network(NetworkSpec(name, 8, 1, 0.0), (4, 2), seed=seed)
        return torch.cat([part.flatten() for part in network.parameters()])

    before = torch.get_rng_state()
    first = weights(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, weights(3))
    assert not torch.equal(first, weights(4))


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_a_recurrent_network_reads_the_order_of_bars(name: str) -> None:
    network = make_network(NetworkSpec(name, 8, 1, 0.0), (6, 5), seed=1).eval()
    windows = torch.randn(3, 6, 5)
    assert not torch.allclose(network(windows), network(windows.flip(1)))


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="gru, linear, lstm, mlp"):
        make_network(NetworkSpec("rnn"), (4, 2), seed=0)
    with pytest.raises(UserError, match="128"):
        make_network(NetworkSpec("lstm", 256), (4, 2), seed=0)


def test_the_device_is_honoured_or_refused() -> None:
    assert resolve_device("cpu").type == "cpu"
    available = torch.cuda.is_available()
    assert resolve_device("auto").type == ("cuda" if available else "cpu")
    if not available:
        with pytest.raises(UserError, match="no GPU"):
            resolve_device("cuda")
    with pytest.raises(UserError, match="'auto'"):
        resolve_device("gpu")


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
