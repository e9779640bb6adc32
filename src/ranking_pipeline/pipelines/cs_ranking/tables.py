"""Between the tables of the catalog and the arrays of the torch room."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.interval import interval_minutes
from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.models.assemble import locate
from ranking_pipeline.panel import Panel, to_cross_sections
from ranking_pipeline.pipelines.cs_ranking.applicability import ranked_targets, why_not
from ranking_pipeline.pipelines.cs_ranking.config import CsRankingConfig
from ranking_pipeline.pipelines.cs_ranking.progress import progress_bar
from ranking_pipeline.splits import Splits
from ranking_pipeline.storage import TableHandle
from ranking_pipeline.training.collect import join_predictions

if TYPE_CHECKING:
    from ranking_pipeline.ranking.ranker import Ranker, RankerSpec, TrainingData

Matrix = npt.NDArray[np.float64]
KEY = ["timestamp", "symbol"]
HISTORY_COLUMNS = (
    "target",
    "seed",
    "epoch",
    "train_loss",
    "train_ic",
    "validation_ic",
    "validation_spread",
    "learning_rate",
    "best",
)
MODEL_ROW_COLUMNS = (
    "model_id",
    "target",
    "family",
    "route",
    "symbol",
    "network",
    "loss",
    "seed",
    "train_first",
    "train_last",
)
log = logging.getLogger(__name__)


def cs_target_table(
    panel: Panel,
    labels: TableHandle,
    target_manifest: pd.DataFrame,
    config: CsRankingConfig,
) -> pd.DataFrame:
    """Cross-sectional targets, one column per ranked payoff; none of few symbols.

    Raises
    ------
    UserError
        When a target is not a forward return of the target manifest.
    """
    from ranking_pipeline.ranking.targets import cross_sectional_target

    if reason := why_not(panel.n_symbols, config):
        log.warning("no ranking network is trained: %s", reason)
    targets = ranked_targets(panel.n_symbols, config)
    _require_returns(targets, target_manifest)
    frame = labels.read([*KEY, *targets])
    bars, symbols = locate(panel, frame, "labels")
    spec = config.target_spec()
    for note in spec.notes() if targets else ():
        log.info("cs_ranking: %s", note)
    for target in targets:
        made = cross_sectional_target(
            _matrix(panel, frame[target], bars, symbols),
            spec,
            sectors=panel.sectors.T,
            close=panel.cross_sections("close"),
        )
        frame[target] = made[bars, symbols].astype(np.float32)
    return frame


def train_rankers(
    panel: Panel,
    cs_targets: TableHandle,
    labels: TableHandle,
    target_manifest: pd.DataFrame,
    splits: Mapping[str, Any],
    interval: str,
    config: CsRankingConfig,
    jobs: JobsConfig,
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any], pd.DataFrame]:
    """Train one ranker per target: weights, meta documents, and history.

    Unfinished training is kept in the folder of checkpoints, and goes on from there.
    """
    from ranking_pipeline.ranking import store
    from ranking_pipeline.ranking.ranker import Checkpoints, train_ranker

    spec = config.ranker_spec()
    weights: dict[str, npt.NDArray[Any]] = {}
    metas: dict[str, Any] = {}
    history: list[dict[str, Any]] = []
    for target in ranked_targets(panel.n_symbols, config):
        data = _training_data(
            panel, cs_targets, labels, target_manifest, splits, target
        )
        with progress_bar(target) as watcher:
            ranker = train_ranker(
                data,
                spec,
                device=config.training.device,
                threads=config.training.threads,
                checkpoints=Checkpoints(
                    _checkpoint_folder(jobs, spec, target), jobs.checkpoint_seconds
                ),
                watcher=watcher,
            )
        history += [{"target": target, **row} for row in ranker.history]
        tensors = store.to_tensors(ranker)
        provenance = store.Provenance(
            target, config.target.type, interval_minutes(interval)
        )
        checksum = sha256(store.weights_file(tensors)).hexdigest()
        metas[target] = store.model_meta(ranker, provenance, checksum)
        weights |= {f"{target}/{k}": v.numpy() for k, v in tensors.items()}
    frame = pd.DataFrame(history, columns=list(HISTORY_COLUMNS))
    return weights, metas, frame.astype({"best": bool, "seed": int, "epoch": int})


def _checkpoint_folder(jobs: JobsConfig, spec: RankerSpec, target: str) -> Path:
    """A folder for each kind of network: they do not evict each other."""
    kind = f"{spec.network.name}+{spec.loss.replace(':', '.')}"
    return Path(jobs.checkpoints) / target / kind


def score_table(
    panel: Panel,
    weights: Mapping[str, npt.NDArray[Any]],
    metas: Mapping[str, Any],
    splits: Mapping[str, Any],
    config: CsRankingConfig,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of ``models`` and of ``predictions`` for validation and test bars."""
    from ranking_pipeline.ranking.ranker import score_panel
    from ranking_pipeline.ranking.store import ranker_of

    first = Splits.from_dict(splits).verify(panel.timestamps).validation.first_bar
    cells = panel.tradable.T.copy()
    cells[:first] = False
    models, predictions = [], []
    for target in metas:
        ranker = ranker_of(weights, metas, target)
        scores = score_panel(ranker, panel.values, cells, config.training.device)
        row = _model_row(target, ranker, splits)
        models.append(row)
        predictions.append(_prediction_rows(panel, scores, target, row["model_id"]))
    rows = pd.DataFrame(models, columns=list(MODEL_ROW_COLUMNS))
    return rows, join_predictions(predictions)


def _require_returns(targets: list[str], manifest: pd.DataFrame) -> None:
    returns = set(manifest.loc[manifest["kind"] == "forward_return", "target"])
    unknown = [target for target in targets if target not in returns]
    if unknown:
        raise UserError(
            f"cs_ranking.targets: {', '.join(unknown)} is not a forward return in "
            f"data.labels.targets; those are {', '.join(sorted(returns))}."
        )


def _matrix(
    panel: Panel,
    values: pd.Series,
    bars: npt.NDArray[np.intp],
    symbols: npt.NDArray[np.intp],
) -> Matrix:
    shape = (panel.n_bars, panel.n_symbols)
    return to_cross_sections(values.to_numpy(np.float64), bars, symbols, shape)


def _training_data(
    panel: Panel,
    cs_targets: TableHandle,
    labels: TableHandle,
    target_manifest: pd.DataFrame,
    splits: Mapping[str, Any],
    target: str,
) -> TrainingData:
    """Targets, payoffs, and the cells of the train and the validation block."""
    from ranking_pipeline.ranking.ranker import TrainingData

    frame = labels.read([*KEY, target, f"{target}__end"])
    bars, symbols = locate(panel, frame, "labels")
    ends = frame[f"{target}__end"]
    known = ends.notna().to_numpy()
    end_bars = np.full(len(frame), -1)
    end_bars[known] = panel.bar_positions(
        ends[known].dt.tz_convert(None).to_numpy("datetime64[ns]")
    )
    blocks = Splits.from_dict(splits).verify(panel.timestamps)
    masks = []
    for name in ("train", "validation"):
        cells = np.zeros((panel.n_bars, panel.n_symbols), dtype=bool)
        cells[bars, symbols] = blocks.mask(name, bars, end_bars)
        masks.append(cells)
    learned = cs_targets.read([target])[target]
    described = target_manifest[target_manifest["target"] == target].iloc[0]
    return TrainingData(
        ohlcv=panel.values,
        target=_matrix(panel, learned, bars, symbols),
        payoff=_matrix(panel, frame[target], bars, symbols),
        train=masks[0],
        validation=masks[1],
        lag_bars=int(described["entry_lag_bars"]),
        horizon_bars=int(described["horizon_bars"]),
    )


def _model_row(
    target: str, ranker: Ranker, splits: Mapping[str, Any]
) -> dict[str, Any]:
    spec = ranker.spec
    return {
        "model_id": f"{spec.network.name}+{spec.loss}:{target}:cs_ranking",
        "target": target,
        "family": f"ranking {spec.network.name}",
        "route": "cs_ranking",
        "symbol": "",
        "network": spec.network.name,
        "loss": spec.loss,
        "seed": ",".join(map(str, spec.seeds)),
        "train_first": splits["train"]["first"],
        "train_last": splits["train"]["last"],
    }


def _prediction_rows(
    panel: Panel, scores: npt.NDArray[np.float32], target: str, model_id: str
) -> pd.DataFrame:
    bars, symbols = np.nonzero(np.isfinite(scores))
    stamps = pd.DatetimeIndex(panel.timestamps[bars]).tz_localize("UTC")
    axis = pd.Index(list(panel.symbols), dtype="str")
    names = pd.Categorical.from_codes(symbols, categories=axis)
    unknown = np.full(len(bars), np.nan, dtype=np.float32)
    return pd.DataFrame(
        {
            "timestamp": stamps,
            "symbol": names,
            "target": pd.Categorical([target]).repeat(len(bars)),
            "model_id": pd.Categorical([model_id]).repeat(len(bars)),
            "score": scores[bars, symbols],
            "prob_short": unknown,
            "prob_neutral": unknown,
            "prob_long": unknown,
        }
    )
