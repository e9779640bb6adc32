"""Folds of the train block: what is fitted, stopped early on and scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.store import ModelStore
from ranking_pipeline.splits import Splits
from ranking_pipeline.storage import TableHandle, sha256_file, write_table
from ranking_pipeline.training.fit import run_training_job
from ranking_pipeline.training.job import TrainingJob
from ranking_pipeline.training.out_of_fold import Fold
from ranking_pipeline.training.rows import training_rows

Make = Callable[..., TrainingJob]


def _plain(
    bars: list[int], ends: list[int], known: list[bool], fold: Fold, embargo: int
) -> tuple[list[int], list[int], list[int]]:
    """The same parts, one row after the other."""
    blocks = np.array_split(sorted(set(bars)), fold.n_folds)
    block = set(blocks[fold.number - 1].tolist())
    scored = [i for i, bar in enumerate(bars) if bar in block]
    last = max([max(block), *(ends[i] for i in scored)])
    clear = [
        i
        for i, bar in enumerate(bars)
        if known[i] and (ends[i] + embargo < min(block) or bar > last + embargo)
    ]
    first, final = min(bars[i] for i in clear), max(ends[i] for i in clear)
    n_held = round((final - first + 1) * fold.validation_share)
    if not n_held:
        return clear, [], scored
    cut = final + 1 - n_held
    fit = [i for i in clear if ends[i] + embargo < cut]
    return fit, [i for i in clear if bars[i] >= cut], scored


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    number=st.integers(1, 3),
    embargo=st.integers(0, 2),
    share=st.sampled_from([0.0, 0.2, 0.4]),
)
def test_the_parts_are_those_of_a_plain_loop(
    seed: int, number: int, embargo: int, share: float
) -> None:
    random = np.random.default_rng(seed)
    bars = np.sort(random.integers(0, 60, 150))
    ends = bars + random.integers(1, 6, 150)
    known = random.random(150) > 0.1
    fold = Fold(number, 3, share)
    parts = fold.parted(bars, ends, known, embargo)
    wanted = _plain(bars.tolist(), ends.tolist(), known.tolist(), fold, embargo)
    assert [part.tolist() for part in parts] == list(wanted)
    fit, held_out, scored = parts
    for i in np.concatenate([fit, held_out]):
        overlap = (bars[i] <= ends[scored]) & (bars[scored] <= ends[i])
        assert not overlap.any()
    if len(held_out):
        assert ends[fit].max() + embargo < bars[held_out].min()


def test_the_folds_score_every_row_of_the_train_block_once(job: Make) -> None:
    jobs = [job(family="ridge", fold=Fold(k, 3, 0.2)) for k in (1, 2, 3)]
    assert len({made.key for made in jobs} | {job(family="ridge").key}) == 4
    store = ModelStore(Path(jobs[0].store_root))
    tables = [store.read_predictions(run_training_job(made)["key"]) for made in jobs]
    joined = pd.concat(tables)
    assert not joined.duplicated(["timestamp", "symbol"]).any()
    rows = training_rows(jobs[0])
    last = Splits.from_dict(jobs[0].splits).train.last_bar
    n_rows = int((rows.scored.panel.rows()[0] <= last).sum())
    assert len(joined) == n_rows
    assert np.isfinite(joined["score"]).all()
    assert rows.held_out.bars.max() <= last


def test_nothing_after_the_train_block_is_read(
    job: Make, frames: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    """Not even by early stopping: LightGBM stops on a part of the train block."""
    made = job(fold=Fold(2, 3, 0.2))
    features, labels = (frame.copy() for frame in frames)
    stamps = np.unique(labels["timestamp"])
    last = stamps[Splits.from_dict(made.splits).train.last_bar]
    labels.loc[(labels["fwd_ret_2d__end"] > last).to_numpy(), "fwd_ret_2d"] *= -7
    features.loc[(features["timestamp"] > last).to_numpy(), "alpha"] *= -1

    def stored(frame: pd.DataFrame, name: str) -> TableHandle:
        write_table(frame, tmp_path / name)
        return TableHandle(str(tmp_path / name), sha256_file(tmp_path / name))

    spoilt = replace(
        made,
        features_table=stored(features, "f.parquet"),
        labels_table=stored(labels, "l.parquet"),
    )
    results = [run_training_job(made), run_training_job(spoilt)]
    assert results[0]["key"] != results[1]["key"]
    assert results[0]["sha256"] == results[1]["sha256"]


def test_a_later_label_of_another_target_purges_too(
    job: Make, labels: TableHandle
) -> None:
    fold = Fold(2, 3, 0.0)
    plain = job(family="ridge", labels_table=labels, fold=fold)
    purged = replace(plain, purged_by=("fwd_ret_5d",))
    assert plain.key != purged.key
    near, far = training_rows(plain), training_rows(purged)
    block = near.scored.bars.min(), near.scored.bars.max()
    assert (far.scored.bars.min(), far.scored.bars.max()) == block
    # labels end 3 and 6 bars after the decision, so do the last ones of the block
    assert near.fit.bars[near.fit.bars < block[0]].max() == block[0] - 4
    assert far.fit.bars[far.fit.bars < block[0]].max() == block[0] - 7
    assert near.fit.bars[near.fit.bars > block[1]].min() == block[1] + 4
    assert far.fit.bars[far.fit.bars > block[1]].min() == block[1] + 7


def test_too_many_folds_are_refused(job: Make) -> None:
    with pytest.raises(UserError, match="40 blocks need at least 2 bars each"):
        run_training_job(job(family="ridge", fold=Fold(1, 40, 0.2)))
