"""Checks of what is learned: nothing fitted on the train rows sees a later one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.audit.artefacts import compare_digests
from ranking_pipeline.audit.check import NOT_COVERED, UNSTEADY, Check, check_of
from ranking_pipeline.audit.cuts import Cut
from ranking_pipeline.audit.futures import SAME_CELLS, alter_future
from ranking_pipeline.audit.lookahead import audit_function
from ranking_pipeline.errors import UserError
from ranking_pipeline.features import compute_features, feature_manifest, feature_table
from ranking_pipeline.labels import LabelsConfig, TargetSpec, compute_labels
from ranking_pipeline.models import registry
from ranking_pipeline.models.assemble import assemble, feature_ranks, normal_scores
from ranking_pipeline.models.base import BaseModel
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import Panel
from ranking_pipeline.selection.training_data import TrainingData
from ranking_pipeline.splits import Splits

if TYPE_CHECKING:
    from ranking_pipeline.ranking.ranker import Ranker

BARS_CHECK = "what is fitted ignores later bars"
ROWS_CHECK = "what is fitted ignores later rows"
SCORES_CHECK = "scores ignore later bars"
ALTERED = "random_walk"
FACTOR = 10.0  # rows after the train span are so many times larger
# The network of the audit: small, for what it learns does not matter.
WINDOW_BARS, HIDDEN, EPOCHS, BATCH_BARS, LEAST_SYMBOLS = 8, 8, 1, 16, 4
LENGTHS = ("n_rounds", "epochs")  # how long a family may learn

Parameters = Mapping[str, Mapping[str, Any]]
Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class World:
    """One small learning problem: how bars become fitted models and scores.

    Attributes
    ----------
    panel : Panel
    splits : Splits
        Made for the panel.
    factors : tuple of str
    spec : TargetSpec
        A forward return.
    labels : LabelsConfig
    families : mapping of str to mapping
        Parameter block of each model family.
    network : bool
        Whether a small ranking network is trained, too.
    seed : int
    """

    panel: Panel
    splits: Splits
    factors: tuple[str, ...]
    spec: TargetSpec
    labels: LabelsConfig
    families: Parameters
    network: bool
    seed: int

    def without(self, names: Mapping[str, str]) -> World:
        """Leave out some families, or the network."""
        kept = {name: p for name, p in self.families.items() if name not in names}
        network = self.network and "network" not in names
        return replace(self, families=kept, network=network)

    def tables(self, panel: Panel) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Make the features, the labels and the target manifest of a panel."""
        values = compute_features(panel, self.factors)
        features = feature_table(panel, values, self.factors)
        labels, manifest = compute_labels(panel, [self.spec], self.labels)
        return features, labels, manifest

    def samples(
        self, panel: Panel, features: pd.DataFrame, labels: pd.DataFrame
    ) -> Samples:
        """Assemble the rows, features as normal scores of their ranks in the bar."""
        rows = assemble(
            panel, features, labels, self.spec.name, self.spec.task, self.factors
        )
        ranks = feature_ranks(rows.features, rows.bars)
        return replace(rows, features=normal_scores(ranks))


def learned_checks(world: World, score_cuts: Sequence[Cut]) -> list[Check]:
    """Check what is fitted, and the scores that it gives.

    Three claims: with other bars after the train span, everything fitted on the train
    rows is the same to the byte; so it is with every feature and label after the train
    span ten times larger; and the scores of the bars up to t are the same to the bit
    whatever bars follow t. What the slice holds too little for is not covered.

    The validation rows are at hand in each fit. They may choose how long a model
    learns, which is why it then learns for one round only, and nothing else.
    """
    panel, last = world.panel, world.splits.train.last_bar
    tables = world.tables(panel)
    other = alter_future(panel, last, ALTERED, world.seed)
    lacking: dict[str, str] = {}
    honest = _digests(world, panel, *tables, lacking=lacking)
    world = world.without(lacking)
    altered = _digests(world, other, *world.tables(other))
    features, labels, manifest = (_later_rows(t, panel, last) for t in tables)
    larger = _digests(world, _larger(panel, last), features, labels, manifest)
    rows = [
        compare_digests(BARS_CHECK, honest, altered),
        compare_digests(ROWS_CHECK, honest, larger),
    ]
    if any(row.different for row in rows):
        again = _digests(world, panel, *world.tables(panel))
        rows = [_unsteady(row, honest, again) for row in rows]
    return [
        *rows,
        *_score_checks(world, tables, score_cuts),
        *(
            Check(
                BARS_CHECK, name, "artefacts", 0, 0, worst=reason, verdict=NOT_COVERED
            )
            for name, reason in lacking.items()
        ),
    ]


def _unsteady(row: Check, honest: Mapping[str, str], again: Mapping[str, str]) -> Check:
    """Tell a difference that shows on the very same bars from a look ahead."""
    names = sorted(name for name in honest if honest[name] != again[name])
    if row.different > len(names):
        return row
    worst = f"{', '.join(names)} changed on the very same bars; fix the seed"
    return replace(row, worst=worst, verdict=UNSTEADY) if row.different else row


def _later_rows(table: pd.DataFrame, panel: Panel, last: int) -> pd.DataFrame:
    """Multiply what is measured after the train span; manifests stay."""
    if "timestamp" not in table:
        return table
    later = (table["timestamp"] > _stamp(panel, last)).to_numpy()
    changed = table.copy()
    for name in table.columns[table.dtypes == np.float32]:
        values = table[name].to_numpy().copy()
        values[later] *= np.float32(FACTOR)
        changed[name] = values
    return changed


def _larger(panel: Panel, last: int) -> Panel:
    values = panel.values.copy()
    values[:, last + 1 :] *= np.float32(FACTOR)
    return replace(panel, values=values)


def _stamp(panel: Panel, bar: int) -> pd.Timestamp:
    return pd.Timestamp(panel.timestamps[bar]).tz_localize("UTC")


def _digests(
    world: World,
    panel: Panel,
    features: pd.DataFrame,
    labels: pd.DataFrame,
    manifest: pd.DataFrame,
    lacking: dict[str, str] | None = None,
) -> dict[str, str]:
    """Fit everything on the train rows; content of each by name.

    Where ``lacking`` is given, what cannot be fitted is left out, with the reason.
    """
    rows = world.samples(panel, features, labels)
    train, validation = (_block_rows(world, rows, n) for n in ("train", "validation"))
    data = TrainingData.cut(
        panel,
        features,
        feature_manifest(world.factors),
        labels,
        manifest,
        world.splits,
    )
    found = {
        "rows trained on": _digest(train.features, train.target, train.bars),
        "rows selected on": _digest(data.feature_ranks, data.panel.values),
    }
    for family in world.families:
        with _noting(family, lacking):
            whole = _saved(_fitted(world, family, train))
            brief = _saved(_fitted(world, family, train, validation))
            found[family] = f"{whole} {brief}"
    if world.network:
        with _noting("network", lacking):
            found |= _network_digests(_ranker(world, panel, labels))
    return found


@contextmanager
def _noting(name: str, lacking: dict[str, str] | None) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        if lacking is None:
            raise
        lacking[name] = str(error)


def _network_digests(ranker: Ranker) -> dict[str, str]:
    scale = ranker.scale
    assert scale is not None
    weights = (s[name].numpy() for s in ranker.states for name in sorted(s))
    return {
        "channel scale": _digest(np.array([scale.mean, scale.deviation])),
        "network": _digest(*weights),
    }


def _digest(*arrays: npt.NDArray[Any]) -> str:
    content = hashlib.sha256()
    for array in arrays:
        content.update(repr((array.dtype.str, array.shape)).encode())
        content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()


def _block_rows(world: World, rows: Samples, block: str) -> Samples:
    inside = world.splits.mask(block, rows.bars, rows.label_end)
    return rows.take(inside).labelled()


def _fitted(
    world: World, family: str, train: Samples, validation: Samples | None = None
) -> BaseModel:
    """Fit a family; for one round where there are rows to stop on."""
    parameters = dict(world.families[family])
    if validation is not None:
        parameters |= {name: 1 for name in LENGTHS if name in parameters}
        validation = validation if len(validation) else None
    model = registry.create(family, parameters, world.seed, 1)
    model.fit(train, validation)
    return model


def fitted_on_train(world: World, family: str) -> BaseModel:
    """Fit a family on the train rows of the world's own panel."""
    features, labels, _ = world.tables(world.panel)
    rows = world.samples(world.panel, features, labels)
    return _fitted(world, family, _block_rows(world, rows, "train"))


def _saved(model: BaseModel) -> str:
    """Digest of the bytes that a model is stored as."""
    with TemporaryDirectory(prefix="audit-") as folder:
        model.save(Path(folder))
        content = hashlib.sha256()
        for path in sorted(Path(folder).iterdir()):
            content.update(path.name.encode() + path.read_bytes())
    return content.hexdigest()


def _ranker(world: World, panel: Panel, labels: pd.DataFrame) -> Ranker:
    """Train the small network on the cells whose label ends inside the train block."""
    from ranking_pipeline.learning.loop import LoopConfig
    from ranking_pipeline.learning.networks import NetworkSpec
    from ranking_pipeline.ranking.ranker import RankerSpec, TrainingData, train_ranker

    bars, symbols = panel.rows()
    payoff = np.full((panel.n_bars, panel.n_symbols), np.nan)
    payoff[bars, symbols] = labels[world.spec.name]
    ends = bars + world.labels.entry_lag_bars + world.spec.horizon_bars
    cells = np.zeros((2, *payoff.shape), dtype=np.bool_)
    for number, block in enumerate(("train", "validation")):
        cells[number, bars, symbols] = world.splits.mask(block, bars, ends)
    spec = RankerSpec(
        sequence_length=WINDOW_BARS,
        normalization="log_returns",
        network=NetworkSpec("mlp", HIDDEN, 1, 0.0),
        loss="pointwise",  # a ranking loss would not notice another scale
        loss_parameters={},
        loop=LoopConfig(epochs=EPOCHS, timestamps_per_batch=BATCH_BARS),
        seeds=(world.seed,),
        min_symbols=LEAST_SYMBOLS,
    )
    # Altered labels may fall below -1, which what is measured as a return may not.
    measured = np.maximum(payoff, -1.0)
    data = TrainingData(panel.values, payoff, measured, cells[0], cells[1])
    return train_ranker(data, spec)


def _score_checks(
    world: World,
    tables: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
    cuts: Sequence[Cut],
) -> list[Check]:
    panel, (features, labels, _) = world.panel, tables
    train = _block_rows(world, world.samples(panel, features, labels), "train")
    models = {family: _fitted(world, family, train) for family in world.families}
    found = []
    if models:
        result = audit_function(
            partial(model_scores, world, models),
            panel,
            cuts,
            ("truncated", *SAME_CELLS, "missing", "universe"),
            tuple(models),
            seed=world.seed,
        )
        found.append(check_of(SCORES_CHECK, ", ".join(models), result))
    if world.network:
        ranker = _ranker(world, panel, labels)
        # A batch of another size may round differently: bars keep their cells here.
        result = audit_function(
            partial(_network_scores, ranker),
            panel,
            cuts,
            SAME_CELLS,
            ("network",),
            seed=world.seed,
        )
        found.append(check_of(SCORES_CHECK, "network", result))
    return found


def model_scores(world: World, models: Mapping[str, BaseModel], panel: Panel) -> Scores:
    """Scores (S, T, families) of every row that has features."""
    features, labels, _ = world.tables(panel)
    rows = world.samples(panel, features, labels)
    shape = (panel.n_symbols, panel.n_bars, len(models))
    scores = np.full(shape, np.nan, dtype=np.float32)
    for number, model in enumerate(models.values()):
        scores[rows.symbols, rows.bars, number] = model.predict(rows).score
    return scores


def _network_scores(ranker: Ranker, panel: Panel) -> Scores:
    from ranking_pipeline.ranking.ranker import score_panel

    return score_panel(ranker, panel.values, panel.tradable.T).T
