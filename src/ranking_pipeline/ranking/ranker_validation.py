"""Ranker validation: what is measured while a ranker trains, and when it is done."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.loop import Measure
from ranking_pipeline.ranking.fitted_ranker import Ranker
from ranking_pipeline.ranking.metrics import rank_ic
from ranking_pipeline.ranking.ranker_data import FloatArray, TrainingData
from ranking_pipeline.ranking.ranker_scores import averaged_ranks
from ranking_pipeline.ranking.ranker_spec import RankerSpec
from ranking_pipeline.ranking.tails import tail_spread
from ranking_pipeline.ranking.validation import (
    no_validation_metrics,
    require_returns,
    validation_metrics,
)


def require_validation(
    data: TrainingData, block: CrossSections, spec: RankerSpec
) -> None:
    """Refuse, before any step, a validation block that cannot be measured."""
    if data.validation.any() and not block.n_bars:
        raise UserError(
            f"cs_ranking: no validation bar has {spec.min_symbols} names with a whole "
            "window; lower cs_ranking.batching.min_symbols_per_timestamp."
        )
    require_returns(torch.from_numpy(data.payoff[block.bars]), block.mask.cpu())


def measure_of(payoff: FloatArray, block: CrossSections, spec: RankerSpec) -> Measure:
    """Make what the loop measures after each epoch: mean rank IC and mean spread."""
    payoffs = torch.from_numpy(payoff[block.bars]).to(block.inputs.device)

    def measure(scores: Tensor, targets: Tensor, mask: Tensor) -> Mapping[str, Tensor]:
        ic = rank_ic(scores, targets, mask, spec.min_symbols)
        spread = tail_spread(scores, payoffs, mask, spec.top_pct, spec.bottom_pct)
        return {
            "validation_ic": ic.nanmean(),
            "validation_spread": spread.nanmean(),
        }

    return measure


def final_metrics(
    ranker: Ranker, data: TrainingData, block: CrossSections
) -> dict[str, float]:
    """Measure the averaged score, and how much the single seeds differ."""
    kept = [row for row in ranker.history if row["best"]]
    epochs = {"epochs_trained": max(row["epoch"] for row in kept)}
    if block.n_bars == 0:
        nothing = no_validation_metrics()
        return nothing | {"seed_ic_mean": np.nan, "seed_ic_std": np.nan} | epochs
    spec = ranker.spec
    scores, mask = averaged_ranks(ranker, block)
    measured = validation_metrics(
        scores,
        torch.from_numpy(data.payoff[block.bars]).to(block.inputs.device),
        mask,
        top_pct=spec.top_pct,
        bottom_pct=spec.bottom_pct,
        min_symbols=spec.min_symbols,
        cost_bps_per_side=spec.cost_bps_per_side,
        lag_bars=data.lag_bars,
        horizon_bars=data.horizon_bars,
        bars=block.bars,
    )
    # The last epoch that was kept is the seed's best.
    best = {row["seed"]: row["validation_ic"] for row in kept}
    ics = np.array(list(best.values()))
    spread = float(ics.std(ddof=1)) if len(ics) > 1 else np.nan
    return (
        measured | {"seed_ic_mean": float(ics.mean()), "seed_ic_std": spread} | epochs
    )
