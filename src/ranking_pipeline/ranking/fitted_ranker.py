"""Fitted ranker: networks of one spec, one per seed, and what was measured of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from ranking_pipeline.learning.channels import ChannelScale
from ranking_pipeline.ranking.ranker_spec import RankerSpec
from ranking_pipeline.ranking.watcher import HistoryRow


@dataclass(frozen=True)
class Ranker:
    """A fitted ranker.

    Attributes
    ----------
    spec : RankerSpec
    scale : ChannelScale or None
        Constants of the channels, fitted on the training bars.
    states : tuple of dict of Tensor
        Network parameters, one per seed.
    metrics : dict
        Of the averaged score on the validation block, against the payoff itself: see
        :func:`ranking_pipeline.ranking.validation.validation_metrics`. Besides,
        ``seed_ic_mean`` and ``seed_ic_std`` (ddof 1) over the best epochs of the single
        seeds, and ``epochs_trained``, the latest epoch that is kept. NaN without
        validation.
    history : list of dict
        One row per seed and epoch, see :func:`ranking_pipeline.learning.loop.train`.
    counts : dict
        Bars and windows of the train and the validation block, and the bars of each
        that have too few names.
    """

    spec: RankerSpec
    scale: ChannelScale | None
    states: tuple[dict[str, Tensor], ...]
    metrics: dict[str, float]
    history: list[HistoryRow] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
