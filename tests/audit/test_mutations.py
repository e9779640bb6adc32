"""The audit has teeth: for every fault put into the code, a check fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.audit import worlds

from ranking_pipeline import folds, splits
from ranking_pipeline.audit import audit_panel, execution
from ranking_pipeline.audit.check import Check
from ranking_pipeline.audit.cuts import cuts
from ranking_pipeline.audit.execution import execution_checks
from ranking_pipeline.audit.feature_checks import feature_checks
from ranking_pipeline.audit.futures import MODES
from ranking_pipeline.audit.label_checks import label_checks
from ranking_pipeline.audit.learned import learned_checks
from ranking_pipeline.audit.panel_audit import _purge_checks
from ranking_pipeline.audit.purging import check_blocks, check_folds
from ranking_pipeline.errors import UserError
from ranking_pipeline.features import compute, series
from ranking_pipeline.features.registry import FACTORS
from ranking_pipeline.labels import compute as label_compute
from ranking_pipeline.labels import parse_targets
from ranking_pipeline.learning import channels
from ranking_pipeline.models import assemble, linear
from ranking_pipeline.models.families import ridge as ridge_family
from ranking_pipeline.panel import Panel
from ranking_pipeline.ranking import ranker
from ranking_pipeline.row_ranks import Groups
from ranking_pipeline.selection import training_data
from ranking_pipeline.selection.problem import Problem
from ranking_pipeline.splits import Splits, make_splits

Patch = pytest.MonkeyPatch
Audit = Callable[[Panel], Sequence[Check]]

NAMES = ("ret_1", "ret_5", "vol_20", "rank_ret_5", "sector_ret_5")


# What is audited: the checks of one part of the library, on a small market.


def features(panel: Panel) -> list[Check]:
    chosen = cuts(panel, None, 3, 0, at_most=8)
    return feature_checks(panel, NAMES, chosen, MODES, 3, 2, 0)


def labels(panel: Panel) -> list[Check]:
    specs = parse_targets(worlds.TARGETS, "1d")
    chosen = cuts(panel, None, 2, 0, at_most=3)
    return label_checks(panel, specs, worlds.labels_config(), chosen, MODES, 4, 0)


def learned(panel: Panel) -> list[Check]:
    families = {"ridge": worlds.FAMILIES["ridge"]}
    chosen = cuts(panel, None, 0, 0, at_most=3)
    return learned_checks(worlds.world(panel, families=families), chosen)


def network(panel: Panel) -> list[Check]:
    return learned_checks(worlds.world(panel, families={}, network=True), ())[:2]


def execution_of(panel: Panel) -> list[Check]:
    chosen = cuts(panel, None, 2, 0, at_most=6)
    return execution_checks(panel, chosen, MODES, 1, 0)


def purging(panel: Panel) -> list[Check]:
    """Rows of a five-bar label, with an embargo of two bars."""
    embargo, n_bars = 2, panel.n_bars
    made = make_splits(panel.timestamps, 0.6, 0.2, embargo)
    bars, _ = panel.rows()
    ends = np.where(bars + 6 < n_bars, bars + 6, -1)
    walk = folds.purged_folds(bars, ends, 3, embargo)
    both = folds.combinatorial_folds(bars, ends, 4, 1, embargo)
    return [
        check_blocks(made, bars, ends),
        check_folds(walk, bars, ends, embargo),
        check_folds(list(both), bars, ends, embargo),
    ]


def purging_of_the_stages(panel: Panel) -> list[Check]:
    """The folds as the report has them, on splits without an embargo."""
    made = make_splits(panel.timestamps, 0.6, 0.2, 0)
    specs = parse_targets(["fwd_ret_5d"], "1d")
    return _purge_checks(panel, made, specs, worlds.labels_config())


# The faults.


def shift_flipped_in_a_factor(patch: Patch) -> None:
    honest = FACTORS["ret_5"]

    def flipped(bars: Any, **width: int) -> np.ndarray:
        return -np.roll(honest.compute(bars, **width), -5, axis=1)

    patch.setitem(FACTORS, "ret_5", replace(honest, compute=flipped))


def shift_flipped_in_all_returns(patch: Patch) -> None:
    patch.setattr(series, "lag", lambda values, bars: np.roll(values, -bars, axis=-1))


def window_one_bar_too_late(patch: Patch) -> None:
    honest = FACTORS["vol_20"]

    def centred(bars: Any, **width: int) -> np.ndarray:
        return np.roll(honest.compute(bars, **width), -1, axis=1)

    patch.setitem(FACTORS, "vol_20", replace(honest, compute=centred))


def look_back_understated(patch: Patch) -> None:
    patch.setitem(FACTORS, "vol_20", replace(FACTORS["vol_20"], lookback_bars=12))


def bars_sorted_backwards(patch: Patch) -> None:
    honest = compute.compute_columns

    def backwards(panel: Panel, *rest: Any, **named: Any) -> np.ndarray:
        turned = replace(panel, values=panel.values[:, ::-1].copy())
        return honest(turned, *rest, **named)

    patch.setattr(compute, "compute_columns", backwards)


def missing_bars_filled_backwards(patch: Patch) -> None:
    honest = compute.compute_columns

    def filled(panel: Panel, *rest: Any, **named: Any) -> np.ndarray:
        values = panel.values.copy()
        for bar in range(panel.n_bars - 2, -1, -1):
            gone = np.isnan(values[:, bar])
            values[:, bar][gone] = values[:, bar + 1][gone]
        return honest(replace(panel, values=values), *rest, **named)

    patch.setattr(compute, "compute_columns", filled)


def standardised_over_all_bars(patch: Patch) -> None:
    honest = compute.compute_columns

    def standardised(panel: Panel, *rest: Any, **named: Any) -> np.ndarray:
        columns = honest(panel, *rest, **named)
        total = np.nansum(columns**2, axis=2, keepdims=True)
        return (columns / np.sqrt(total + 1e-6)).astype(np.float32)

    patch.setattr(compute, "compute_columns", standardised)


def universe_of_the_last_bar(patch: Patch) -> None:
    honest = compute.compute_columns

    def survivors(panel: Panel, *rest: Any, **named: Any) -> np.ndarray:
        alive = panel.tradable & panel.tradable[:, -1:]
        return honest(replace(panel, tradable=alive), *rest, **named)

    patch.setattr(compute, "compute_columns", survivors)


def sectors_of_the_last_bar(patch: Patch) -> None:
    honest = compute.compute_columns

    def static(panel: Panel, *rest: Any, **named: Any) -> np.ndarray:
        last = np.repeat(panel.sectors[:, -1:], panel.n_bars, axis=1)
        return honest(replace(panel, sectors=last), *rest, **named)

    patch.setattr(compute, "compute_columns", static)


def shift_flipped_in_labels(patch: Patch) -> None:
    def backwards(values: np.ndarray, bars: int) -> np.ndarray:
        shifted = np.full_like(values, np.nan)
        shifted[:, bars : values.shape[1] - bars] = values[:, : -2 * bars or None]
        return shifted

    patch.setattr(label_compute, "lead", backwards)


def label_one_bar_too_long(patch: Patch) -> None:
    honest = label_compute.lead
    patch.setattr(label_compute, "lead", lambda v, bars: honest(v, bars + 1))


def entry_at_the_decision(patch: Patch) -> None:
    """The return begins at the close of t, and ends where it should."""
    honest = label_compute.lead
    patch.setattr(
        label_compute, "lead", lambda v, bars: honest(v, 0 if bars == 1 else bars)
    )


def last_labels_filled(patch: Patch) -> None:
    honest = label_compute.label_matrix

    def filled(*arguments: Any) -> tuple[np.ndarray, np.ndarray]:
        values, ends = honest(*arguments)
        for bar in range(1, values.shape[1]):
            gone = np.isnan(values[:, bar])
            values[gone, bar] = values[gone, bar - 1]
            ends[gone, bar] = ends[gone, bar - 1]
        return values, ends

    patch.setattr(label_compute, "label_matrix", filled)


def label_end_too_early(patch: Patch) -> None:
    honest = label_compute.label_matrix

    def early(*arguments: Any) -> tuple[np.ndarray, np.ndarray]:
        values, ends = honest(*arguments)
        now = np.arange(arguments[0].n_bars)
        return values, np.where(ends >= 0, now + 1, -1).astype(np.int32)

    patch.setattr(label_compute, "label_matrix", early)


def purge_off_in_blocks(patch: Patch) -> None:
    def unpurged(self: Splits, name: str, bars: Any, label_end: Any) -> np.ndarray:
        return self.inside(name, bars) & (label_end >= 0)

    patch.setattr(splits.Splits, "mask", unpurged)


def purge_off_in_folds(patch: Patch) -> None:
    def unpurged(bars: Any, ends: Any, first: int, last: int, embargo: int) -> Any:
        return (ends >= 0) & ((bars < first) | (bars > last))

    patch.setattr(folds, "clear_of_block", unpurged)


def embargo_zero_in_folds(patch: Patch) -> None:
    honest = folds.clear_of_block

    def without(bars: Any, ends: Any, first: int, last: int, embargo: int) -> Any:
        return honest(bars, ends, first, last, 0)

    patch.setattr(folds, "clear_of_block", without)


def embargo_zero_in_blocks(patch: Patch) -> None:
    honest = splits.Splits.mask

    def without(self: Splits, name: str, bars: Any, label_end: Any) -> np.ndarray:
        return honest(replace(self, embargo_bars=0), name, bars, label_end)

    patch.setattr(splits.Splits, "mask", without)


def purge_off_in_the_folds_of_a_stage(patch: Patch) -> None:
    def unpurged(self: Problem, n_folds: int) -> Any:
        rows = self.samples
        return folds.purged_folds(rows.bars, rows.bars, n_folds, self.embargo_bars)

    patch.setattr(Problem, "folds", unpurged)


def embargo_ignored_where_none_is_asked_for(patch: Patch) -> None:
    embargo_zero_in_folds(patch)


def purge_off_in_training(patch: Patch) -> None:
    purge_off_in_blocks(patch)


def train_rows_of_all_blocks(patch: Patch) -> None:
    def everything(self: Splits, name: str, bars: Any, label_end: Any) -> np.ndarray:
        return np.asarray(label_end >= 0)

    patch.setattr(splits.Splits, "mask", everything)


def scaler_fitted_on_the_validation_too(patch: Patch) -> None:
    honest = ranker.train_ranker

    def wider(data: Any, spec: Any) -> Any:
        fit, cells = ranker._fit_scale, data.train | data.validation
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(ranker, "_fit_scale", lambda c, _, s: fit(c, cells, s))
            return honest(data, spec)

    patch.setattr(ranker, "train_ranker", wider)


def moments_of_the_validation_too(patch: Patch) -> None:
    honest = ridge_family.RidgeModel.fit

    def wider(self: Any, train: Any, validation: Any) -> None:
        moments = linear.column_moments
        held_out = [] if validation is None else [validation.features]
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(
                linear,
                "column_moments",
                lambda rows, _: moments(np.concatenate([rows, *held_out]), None),
            )
            honest(self, train, validation)

    patch.setattr(ridge_family.RidgeModel, "fit", wider)


def scaler_fitted_on_all_bars(patch: Patch) -> None:
    honest = channels.ChannelScale.fit.__func__

    def everywhere(cls: Any, values: Any, bars: Any) -> Any:
        return honest(cls, values, np.ones_like(bars))

    patch.setattr(ranker.ChannelScale, "fit", classmethod(everywhere))


def target_standardised_over_all_cells(patch: Patch) -> None:
    honest = ranker._standardised
    patch.setattr(ranker, "_standardised", lambda t, c: honest(t, np.isfinite(t)))


def moments_of_all_rows(patch: Patch) -> None:
    """Ridge standardised by whatever was assembled last, test rows included."""
    honest = linear.column_moments
    seen: list[np.ndarray] = []
    made = assemble.normal_scores

    def remembered(ranks: np.ndarray) -> np.ndarray:
        seen.append(made(ranks))
        return seen[-1]

    patch.setattr("ranking_pipeline.audit.learned.normal_scores", remembered)
    patch.setattr(linear, "column_moments", lambda *_: honest(seen[-1], None))


def ranks_over_all_bars(patch: Patch) -> None:
    one = SimpleNamespace(of=lambda bars: Groups.of(np.zeros_like(bars)))
    patch.setattr(assemble, "Groups", one)


def selection_sees_the_validation(patch: Patch) -> None:
    honest = training_data.TrainingData.cut.__func__

    def wider(cls: Any, *tables: Any) -> Any:
        panel, *rest, made = tables
        longer = make_splits(panel.timestamps, 0.8, 0.1, made.embargo_bars)
        return honest(cls, panel, *rest, longer)

    patch.setattr(training_data.TrainingData, "cut", classmethod(wider))


def trades_without_a_lag(patch: Patch) -> None:
    honest = execution.backtest

    def at_once(*arguments: Any, **named: Any) -> Any:
        return honest(*arguments, **{**named, "lag_bars": 0})

    patch.setattr(execution, "backtest", at_once)


def score_earns_its_own_bar(patch: Patch) -> None:
    honest = execution.backtest

    def early(score: np.ndarray, returns: np.ndarray, **named: Any) -> Any:
        ahead = np.full_like(returns, np.nan)
        ahead[:-1] = returns[1:]
        return honest(score, ahead, **named)

    patch.setattr(execution, "backtest", early)


def weights_know_the_next_return(patch: Patch) -> None:
    honest = execution.backtest

    def ahead(score: np.ndarray, returns: np.ndarray, **named: Any) -> Any:
        known = np.zeros_like(returns)
        known[:-1] = np.nan_to_num(returns[1:])
        return honest(score + known, returns, **named)

    patch.setattr(execution, "backtest", ahead)


def halted_returns_filled_backwards(patch: Patch) -> None:
    honest = execution.bar_returns

    def backwards(close: np.ndarray, tradable: np.ndarray) -> np.ndarray:
        price = np.where(tradable, close, np.nan)
        for bar in range(len(price) - 2, -1, -1):
            gone = np.isnan(price[bar])
            price[bar][gone] = price[bar + 1][gone]
        return honest(price, np.isfinite(price))

    patch.setattr(
        execution,
        "panel_returns",
        lambda panel: backwards(panel.cross_sections("close"), panel.tradable.T),
    )


MUTANTS: tuple[tuple[Callable[[Patch], None], Audit], ...] = (
    (shift_flipped_in_a_factor, features),
    (shift_flipped_in_all_returns, features),
    (window_one_bar_too_late, features),
    (look_back_understated, features),
    (bars_sorted_backwards, features),
    (missing_bars_filled_backwards, features),
    (standardised_over_all_bars, features),
    (universe_of_the_last_bar, features),
    (sectors_of_the_last_bar, features),
    (shift_flipped_in_labels, labels),
    (label_one_bar_too_long, labels),
    (entry_at_the_decision, labels),
    (last_labels_filled, labels),
    (label_end_too_early, labels),
    (purge_off_in_blocks, purging),
    (purge_off_in_folds, purging),
    (embargo_zero_in_blocks, purging),
    (embargo_zero_in_folds, purging),
    (purge_off_in_the_folds_of_a_stage, purging_of_the_stages),
    (embargo_ignored_where_none_is_asked_for, purging_of_the_stages),
    (purge_off_in_training, learned),
    (train_rows_of_all_blocks, learned),
    (moments_of_all_rows, learned),
    (ranks_over_all_bars, learned),
    (selection_sees_the_validation, learned),
    (moments_of_the_validation_too, learned),
    (scaler_fitted_on_the_validation_too, network),
    (scaler_fitted_on_all_bars, network),
    (target_standardised_over_all_cells, network),
    (trades_without_a_lag, execution_of),
    (score_earns_its_own_bar, execution_of),
    (weights_know_the_next_return, execution_of),
    (halted_returns_filled_backwards, execution_of),
)
AUDITS = tuple(dict.fromkeys(audit for _, audit in MUTANTS))


@pytest.fixture(scope="module")
def panel() -> Panel:
    return worlds.daily_market(12, n_symbols=9, n_bars=170)


@pytest.mark.parametrize("audit", AUDITS, ids=lambda audit: audit.__name__)
def test_the_code_as_it_is_passes(audit: Audit, panel: Panel) -> None:
    found = audit(panel)
    assert all(check.good for check in found), found
    assert any(check.compared for check in found)


def survives(mutant: Callable[[Patch], None], audit: Audit, panel: Panel) -> bool:
    """Whether no check fails; that the library itself refuses the data counts, too."""
    with pytest.MonkeyPatch.context() as patch:
        mutant(patch)
        try:
            return all(check.good for check in audit(panel))
        except UserError:
            return False


def test_every_fault_is_found(panel: Panel) -> None:
    alive = [m.__name__ for m, audit in MUTANTS if survives(m, audit, panel)]
    killed = len(MUTANTS) - len(alive)
    assert (killed, alive) == (len(MUTANTS), [])


def test_a_fault_reaches_the_report(panel: Panel) -> None:
    """The driver that the pipeline calls fails, too, not only the single check."""
    made = make_splits(panel.timestamps, 0.6, 0.2, 0)
    run = partial(
        audit_panel,
        panel,
        NAMES,
        parse_targets(["fwd_ret_1d"], "1d"),
        worlds.labels_config(targets=["fwd_ret_1d"]),
        made,
        worlds.audit_config(),
    )
    assert run().clean
    for mutant in (
        shift_flipped_in_labels,
        trades_without_a_lag,
        look_back_understated,
    ):
        with pytest.MonkeyPatch.context() as patch:
            mutant(patch)
            assert not run().clean, mutant.__name__
