"""Ranker spec: all that decides what a ranker is, apart from its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ranking_pipeline.learning.channels import channel_lookback
from ranking_pipeline.learning.loop import LoopConfig
from ranking_pipeline.learning.networks import NetworkSpec


@dataclass(frozen=True)
class RankerSpec:
    """All that decides what a ranker is, apart from its data.

    Attributes
    ----------
    sequence_length : int
        Bars L of a window.
    normalization : str
        See :func:`ranking_pipeline.learning.channels.build_channels`.
    network : NetworkSpec
    loss : str
        A name of :func:`ranking_pipeline.learning.losses.make_loss`.
    loss_parameters : mapping
    loop : LoopConfig
        Its seed is replaced by each of ``seeds``.
    seeds : tuple of int
        One network each; their scores are averaged as ranks within the bar.
    min_symbols : int
        Smallest cross-section that is trained on or measured.
    top_pct, bottom_pct : float
        Tails of the validation spread.
    cost_bps_per_side : float
        Basis points of the traded notional in the net validation spread.
    device_budget_mb : float or None
        Megabytes that the bars may take on the device; a larger panel is streamed.
    processes : int
        Processes that share each step's bars.
    """

    sequence_length: int
    normalization: str
    network: NetworkSpec
    loss: str
    loss_parameters: Mapping[str, Any]
    loop: LoopConfig
    seeds: tuple[int, ...]
    min_symbols: int = 20
    top_pct: float = 0.1
    bottom_pct: float = 0.1
    cost_bps_per_side: float = 0.0
    device_budget_mb: float | None = None
    processes: int = 1

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> RankerSpec:
        """Rebuild a spec from what :func:`dataclasses.asdict` made of it."""
        values = dict(stored) | {
            "network": NetworkSpec(**stored["network"]),
            "loop": LoopConfig(**stored["loop"]),
            "seeds": tuple(stored["seeds"]),
        }
        return cls(**values)

    @property
    def bars_required(self) -> int:
        """Bars that a complete window is computed from, with its channels' history."""
        return self.sequence_length + channel_lookback(self.normalization)
