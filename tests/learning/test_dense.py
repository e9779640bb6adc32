"""Dense scores are the scores of the windows, whatever is missing around them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ranking_pipeline.learning.channels import ChannelScale
from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.dense import dense_block, dense_scores
from ranking_pipeline.learning.networks import NetworkSpec, make_network, network_names
from ranking_pipeline.learning.streaming import make_inputs
from ranking_pipeline.learning.windows import ResidentPanel

SYMBOLS, BARS, LENGTH = 7, 90, 8


class Filter(nn.Module):
    """A causal convolution over the whole window, for tests."""

    outputs, has_series = 1, True

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.outputs = outputs
        self.filter = nn.Conv1d(5, 6, LENGTH)
        self.head = nn.Linear(6, outputs)
        self.passes: list[tuple[int, ...]] = []

    def forward(self, windows: Tensor, _layout: object = None) -> Tensor:
        return self.score_series(windows)[:, 0]

    def score_series(self, series: Tensor) -> Tensor:
        self.passes.append(tuple(series.shape))
        states = self.filter(series.transpose(1, 2)).tanh()  # (S, 6, T - L + 1)
        scores = self.head(states.transpose(1, 2))
        return scores.squeeze(-1) if self.outputs == 1 else scores


def networks() -> list[nn.Module]:
    torch.manual_seed(0)
    made: list[nn.Module] = [Filter(), Filter(3)]
    if "tcn" in network_names():
        spec = NetworkSpec("tcn", hidden=8, layers=2)
        made.append(make_network(spec, (LENGTH, 5), seed=1))
    return made


def panel(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng([seed, 6])
    values = rng.normal(size=(SYMBOLS, BARS, 5)).astype(np.float32)
    values[rng.random((SYMBOLS, BARS)) < 0.05] = np.nan
    values[2, 40, 1] = np.inf
    values[3, :30] = np.nan  # a late listing
    return values


def block(inputs: object, bars: np.ndarray | None = None) -> CrossSections:
    chosen = np.zeros((BARS, SYMBOLS), dtype=bool)
    chosen[np.arange(BARS) if bars is None else bars] = True
    return CrossSections.build(inputs, np.zeros((BARS, SYMBOLS)), chosen)  # type: ignore[arg-type]


def windowed(network: nn.Module, cells: CrossSections) -> Tensor:
    (batch,) = cells.batches(np.arange(cells.n_bars), cells.n_bars)
    return batch.layout.spread(network(batch.windows(), batch.layout))


@pytest.mark.parametrize("network", networks())
def test_dense_scores_are_those_of_the_windows(network: nn.Module) -> None:
    cells = block(ResidentPanel.build(panel(), LENGTH))
    network.eval()
    expected = windowed(network, cells)
    for cells_at_once in (1, 200, 10**6):
        got = dense_scores(network, cells, cells_at_once)  # type: ignore[arg-type]
        assert got.isfinite().all()
        assert got.shape == expected.shape
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
        assert not got[~cells.mask].any()
        assert got[cells.mask].any()


def test_scattered_bars_are_scored_in_their_order() -> None:
    network, bars = Filter(), np.array([9, 10, 13, 50, 51, 70, 89])
    cells = block(ResidentPanel.build(panel(1), LENGTH), bars)
    got = dense_scores(network, cells)
    widths = [shape[1] for shape in network.passes]
    assert widths == [5 + LENGTH - 1, 2 + LENGTH - 1, LENGTH, LENGTH]
    torch.testing.assert_close(got, windowed(network, cells), rtol=1e-4, atol=1e-5)


def test_symbols_are_taken_a_few_at_a_time() -> None:
    network, cells = Filter(), block(ResidentPanel.build(panel(), LENGTH))
    span = int(cells.bars[-1] - cells.bars[0] + 1)
    dense_scores(network, cells, 3 * span)
    assert [shape[0] for shape in network.passes] == [3, 3, 1]


def test_what_is_missing_elsewhere_changes_nothing() -> None:
    network, values = Filter(), panel(2)
    cells = block(ResidentPanel.build(values, LENGTH))
    bars, symbols = (v.numpy() for v in torch.nonzero(cells.mask, as_tuple=True))
    used = np.zeros((SYMBOLS, BARS), dtype=bool)
    for bar, symbol in zip(cells.bars[bars], symbols, strict=True):
        used[symbol, bar - LENGTH + 1 : bar + 1] = True
    assert not used.all()
    values[~used] = 1e3
    filled = ResidentPanel.build(values, LENGTH)
    other = CrossSections.build(
        filled, np.zeros((BARS, SYMBOLS)), ResidentPanel.build(panel(2), LENGTH).valid
    )
    torch.testing.assert_close(
        dense_scores(network, cells), dense_scores(network, other)
    )


def test_a_streamed_panel_is_scored_span_by_span() -> None:
    scale = ChannelScale((0.1,) * 5, (2.0,) * 5)
    values, network = panel(3), Filter()
    resident = block(make_inputs(values, LENGTH, scale=scale))
    budget = 3 * SYMBOLS * 5 * 4 * 20
    inputs = make_inputs(values, LENGTH, scale=scale, budget_bytes=budget)
    assert len(inputs.spans) > 4
    got = dense_scores(network, block(inputs))
    torch.testing.assert_close(got, dense_scores(network, resident))


def test_a_block_without_bars_has_no_scores() -> None:
    cells = block(ResidentPanel.build(panel(), LENGTH), np.array([0, 1]))
    assert dense_scores(Filter(), cells).shape == (0, SYMBOLS)


@pytest.mark.parametrize("network", networks())
@pytest.mark.parametrize("rows", [slice(20, 36), np.array([20, 22, 29])])
def test_a_block_has_the_gradients_of_its_windows(
    network: nn.Module, rows: slice | np.ndarray
) -> None:
    cells = block(ResidentPanel.build(panel(4), LENGTH))
    network.eval()
    order = np.arange(cells.n_bars)[rows]
    (batch,) = cells.batches(order, len(order))
    expected = batch.layout.spread(network(batch.windows(), batch.layout))
    got = dense_block(network, cells.inputs, cells.bars[rows], batch.layout.mask)  # type: ignore[arg-type]
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    weights = torch.linspace(-1, 1, got.numel()).view(got.shape)
    found = [
        torch.autograd.grad((scores * weights).sum(), list(network.parameters()))
        for scores in (got, expected)
    ]
    for ours, theirs in zip(*found, strict=True):
        assert ours.isfinite().all()
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
