"""Listwise loss: the whole day as one distribution over names."""

from __future__ import annotations

import torch
from torch import Tensor

from ranking_pipeline.learning.losses.base import CrossSectionLoss, Tables
from ranking_pipeline.learning.losses.common import checked_temperature, varies
from ranking_pipeline.learning.ranks import normal_scores


class ListwiseSoftmax(CrossSectionLoss):
    """T² times the divergence of softmax(scores / T) from softmax(z / T).

    z are the normal scores of the targets' ranks: on percentiles in [0, 1] the
    distribution would be almost uniform. The divergence is Kullback and Leibler's, the
    cross-entropy less its lowest value; it is 0 where scores are z plus a constant.

    Parameters
    ----------
    temperature : float
        T. At 1 this is ListNet's loss, whose pull on a name grows like exp(z): the best
        tenth of the names hold 39% of the weight and the worst tenth 1.1%. As T grows,
        the loss tends to half the squared error between centred scores and z.

    Notes
    -----
    Where targets are nearly noise, scores are small and the gradient is in effect
    exp(z / T) less its mean. Its squared correlation with z, T^-2 / (exp(T^-2) - 1), is
    the share of the days' information on the order that is used: 0.58 at T = 1, 0.88
    at 2, 0.95 at 3, 0.98 at 5. Hence the default of 3, which still leans to the best.

    Source: Cao et al. (2007), ListNet, top-one probabilities; Hinton, Vinyals and Dean
    (2015), a temperature on both sides and the factor T².
    """

    def __init__(self, temperature: float = 3.0) -> None:
        super().__init__()
        self.temperature = checked_temperature(temperature)

    def tables(self, targets: Tensor, mask: Tensor) -> Tables:
        """Target shares (B, M), the logarithm of their norm, and whether they differ.

        ``log_share`` is a large negative number outside the mask: with -inf an empty
        day would be NaN in the gradient.
        """
        floor = torch.finfo(targets.dtype).min / 4
        logits = normal_scores(targets, mask).to(targets.dtype) / self.temperature
        log_share = torch.where(mask, logits, floor).log_softmax(dim=1)
        return {
            "log_share": torch.where(mask, log_share, floor),
            "logits": logits,
            "counted": varies(targets, mask),
        }

    def per_day(self, scores: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
        """Divergence of each day, times T²."""
        # With e = (score - z) / T and the target's shares q: log E_q exp(e) - E_q e.
        log_share = tables["log_share"]
        excess = scores / self.temperature - tables["logits"]
        mean = (log_share.exp() * excess).sum(dim=1)
        value = (excess + log_share).logsumexp(dim=1) - mean
        return self.temperature**2 * value, tables["counted"]
