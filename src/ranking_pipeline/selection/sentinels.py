"""Sentinels: questions put to fitted models about leaks that no single column shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.panel import to_cross_sections
from ranking_pipeline.selection.config import (
    FeatureSelectionConfig,
    LeakageConfig,
    TargetRankingConfig,
)
from ranking_pipeline.selection.leakage_report import (
    NAN,
    SAFE,
    SUSPECT,
    Finding,
    report_of,
    usable_features,
)
from ranking_pipeline.selection.leakage_symbols import identifies_symbols
from ranking_pipeline.selection.model_skill import (
    Opinion,
    Questioned,
    bounded,
    dominant,
)
from ranking_pipeline.selection.out_of_fold import FoldModels, families_for
from ranking_pipeline.selection.problem import Problem

Series = npt.NDArray[np.float64]

_IDENTIFIES = 0.9  # share of a feature's rank variance that lies between symbols


def confirm_leaks(
    problem: Problem,
    report: pd.DataFrame,
    config: FeatureSelectionConfig | TargetRankingConfig,
    kept: FoldModels | None = None,
) -> pd.DataFrame:
    """Ask models about the features that the screen left, and add what they say.

    The first configured family that learns from features is fitted out of fold to the
    usable features, and again for each control. Skill is the partial IC of its score,
    volatility removed.

    ``dominance`` (:func:`ask_dominance`) shows leaks of any shape, alone or coded.
    ``time_shuffle`` (:func:`ask_time_shuffle`) shows what does not depend on time:
    identities, and folds that share rows. ``symbol_holdout``
    (:func:`ask_symbol_holdout`) shows what only helps for symbols that were trained on.
    None of them sees a leak weaker than ``max_partial_ic`` and its sampling error, or
    one spread thinly over many columns; for single columns the screen is sharper.

    Parameters
    ----------
    problem : Problem
        With all features, as given to the screen.
    report : DataFrame
        Of the screen.
    config : FeatureSelectionConfig or TargetRankingConfig
        Families, folds and ``leakage``.
    kept : dict, optional
        Where the models of the plain question are left: what is asked of the same
        features later need not fit them again.

    Returns
    -------
    DataFrame
        The report with further rows; a feature of several rows has the worst status of
        them. Feature "" is the model as a whole.
    """
    usable = usable_features(report, config.leakage.allow_suspect)
    families = [
        family
        for family in families_for(config, problem.task)
        if not registry.family_type(family).sequence
    ]
    if not usable or not families:
        return report
    try:
        asked = Questioned.of(problem, usable, families[0], config)
    except UserError as error:
        return _with(report, problem, [_unasked(f"no folds: {error}")])
    opinion = asked.opinion(kept=kept)
    if lacking := _too_little(asked, opinion, config.leakage):
        return _with(report, problem, [_unasked(lacking)])
    findings = ask_dominance(asked, opinion)
    if "time_shuffle" in config.leakage.sentinels:
        findings += ask_time_shuffle(asked)
    if "symbol_holdout" in config.leakage.sentinels:
        findings += ask_symbol_holdout(asked, opinion)
    return _with(report, problem, findings)


def ask_dominance(asked: Questioned, opinion: Opinion) -> list[Finding]:
    """Fit once without the features that dominate, and judge by what is lost.

    Dominance is no proof: where one honest feature is all there is, it has nearly all
    of the gain and everything is lost without it. What separates it from a leak is the
    level of the loss, out of fold: an honest feature does not add more than
    ``max_partial_ic`` of partial IC. A suspect is blocked when its loss is large by the
    rule (``min_drop`` or ``min_relative_drop``) and the lower bound of the loss, bar by
    bar on the same rows, exceeds that level.

    It catches what no rank correlation shows: a coded class, a copy on a part of the
    rows, a label folded about two centres. Of two equal leaks that are not among the
    three leading features each hides the loss of the other.
    """
    config = asked.leakage
    suspects = dominant(opinion.shares, config)
    before = opinion.skill
    if not suspects:
        top = float(opinion.shares.max()) if len(opinion.shares) else NAN
        text = f"no feature dominates {asked.family}: the first has {top:.0%} of it"
        limit = config.dominance_share
        return [Finding("", "dominance", top, NAN, limit, SAFE, text)]
    names = [asked.names[column] for column in suspects]
    after = asked.without(names)
    loss, low, _ = bounded(before - after, asked)
    start = float(np.nanmean(before))
    share = float(opinion.shares[suspects].sum())
    text = (
        f"{' and '.join(names)}: {share:.0%} of the importance in {asked.family}; "
        f"skill {start:+.3f} with, {start - loss:+.3f} without"
    )
    status, judgement = asked.judge_loss(start, loss, low)
    limit = config.max_partial_ic
    return [
        Finding(name, "dominance", loss, low, limit, status, f"{text}; {judgement}")
        for name in names
    ]


def ask_time_shuffle(asked: Questioned) -> list[Finding]:
    """Fit to labels of other times: blocks of bars change places, symbols stay.

    An honest model loses its skill. What is left does not depend on time: a level of
    each symbol that a column encodes or that slow features describe, or an error of the
    folds. It cannot see a leak that is right about its own bar, which dies with the
    shuffle as honest skill does.
    """
    config = asked.leakage
    shuffled = time_shuffled(asked.problem, asked.config.seed)
    opinion = replace(asked, problem=shuffled).opinion()
    mean, low, signed = bounded(opinion.skill, asked)
    fired = signed > config.max_partial_ic
    text = f"skill {mean:+.3f} on labels of other times"
    if not fired:
        return [_control("time_shuffle", mean, low, False, text, config)]
    found = [_control("time_shuffle", mean, low, True, text, config)]
    for column in dominant(opinion.shares, config):
        words = f"{text}, {opinion.shares[column]:.0%} of it by this feature"
        found.append(
            Finding(
                asked.names[column], "time_shuffle", mean, low,
                config.max_partial_ic, SUSPECT, words,
            )
        )  # fmt: skip
    return found


def ask_symbol_holdout(asked: Questioned, opinion: Opinion) -> list[Finding]:
    """Fit without every second symbol and score those, on the same rows as before.

    The loss is what the model knew about symbols rather than about their bars. Where
    it exceeds ``max_partial_ic``, columns that identify symbols and dominate become
    suspects. It needs twice ``min_symbols`` symbols, and cannot see a leak that every
    symbol shares; a fixed effect that is real for the symbols trained on looks the same
    as one that was leaked, which is why it only raises a doubt.
    """
    config = asked.leakage
    symbols = np.unique(asked.problem.samples.symbols)
    if asked.problem.view != "cross_section":
        return []
    if len(symbols) < 2 * asked.problem.min_symbols:
        text = f"{len(symbols)} symbols are too few to hold half of them out"
        return [Finding("", "symbol_holdout", NAN, NAN, NAN, SAFE, text)]
    held = np.isin(asked.problem.samples.symbols, symbols[1::2])
    known = asked.skill(np.where(held, opinion.score, np.nan))
    unseen = asked.opinion(fitted_on=~held).score
    skill = asked.skill(np.where(held, unseen, np.nan))
    loss, low, signed = bounded(known - skill, asked)
    fired = signed > config.max_partial_ic
    text = f"skill {loss:.3f} lower on symbols that were not trained on"
    found = [_control("symbol_holdout", loss, low, fired, text, config)]
    leading = dominant(opinion.shares, config) if fired else []
    for column in leading:
        name = asked.names[column]
        if identifies_symbols(asked.problem, column, _IDENTIFIES):
            words = f"{text}; this feature identifies them"
            limit = config.max_partial_ic
            found.append(
                Finding(name, "symbol_holdout", loss, low, limit, SUSPECT, words)
            )
    return found


def time_shuffled(problem: Problem, seed: int) -> Problem:
    """Labels of other bars: blocks of bars change places, every symbol keeps its own.

    Rows whose symbol has no label at the other time are left out.
    """
    samples = problem.samples
    bars, place = np.unique(samples.bars, return_inverse=True)
    blocks = np.array_split(bars, max(2, round(len(bars) / problem.block_bars)))
    order = np.random.default_rng([seed, 1]).permutation(len(blocks))
    source = np.concatenate([blocks[block] for block in order])[place]
    moved = [
        to_cross_sections(values, samples.bars, samples.symbols, samples.shape)[
            source, samples.symbols
        ]
        for values in (problem.outcome, samples.target)
    ]
    kept = np.flatnonzero(np.isfinite(moved[0]) & np.isfinite(moved[1]))
    taken = samples.take(kept)
    return replace(
        problem,
        samples=replace(taken, target=moved[1][kept].astype(np.float32)),
        outcome=np.asarray(moved[0][kept], dtype=np.float64),
        ranks=problem.ranks[kept],
        scaled=None,
    )


def _control(
    rule: str, mean: float, low: float, fired: bool, text: str, config: LeakageConfig
) -> Finding:
    status = SUSPECT if fired else SAFE
    limit = config.max_partial_ic
    return Finding("", rule, mean, low, limit, status, f"{text}; honest up to {limit}")


def _too_little(asked: Questioned, opinion: Opinion, config: LeakageConfig) -> str:
    rows = int(np.isfinite(opinion.score).sum())
    symbols = len(np.unique(asked.problem.samples.symbols))
    if rows < config.min_confirm_rows:
        return f"{rows} out-of-fold rows, {config.min_confirm_rows} are needed"
    if symbols < config.min_confirm_symbols:
        return f"{symbols} symbols, {config.min_confirm_symbols} are needed"
    return ""


def _unasked(text: str) -> Finding:
    return Finding("", "dominance", NAN, NAN, NAN, SAFE, f"not asked: {text}")


def _with(
    report: pd.DataFrame, problem: Problem, findings: list[Finding]
) -> pd.DataFrame:
    rows = report_of(problem.target, findings)
    return pd.concat([report, rows], ignore_index=True) if len(rows) else report
