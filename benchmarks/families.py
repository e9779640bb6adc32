"""families: what every model family is worth, and what it costs.

Every family is trained alike on the S&P 500 bars and on the default simulated market:
forward returns of 5 days and three classes of the same horizon, at most 100,000 rows
and 2 minutes a fit. The best of the six baselines stands beside them.
"""

from __future__ import annotations

import multiprocessing
import resource
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from benchmarks.harness import PROJECT, Row
from benchmarks.quality_market import (
    Market,
    Matrix,
    money,
    neutral_ic,
    rank_ic,
    real_market,
    simulated_market,
)
from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.baselines import baseline_scores
from ranking_pipeline.evaluation.inference import (
    block_length,
    block_test,
    paired_comparison,
)
from ranking_pipeline.models import registry
from ranking_pipeline.models.assemble import assemble, feature_ranks, normal_scores
from ranking_pipeline.models.samples import Samples, thin
from ranking_pipeline.panel import to_cross_sections
from ranking_pipeline.row_ranks import percentile_ranks

HORIZON, LAG = 5, 1
TARGET, CLASSES = f"fwd_ret_{HORIZON}d", f"label_h{HORIZON}"
HELPERS = {"multi_task": ("fwd_ret_1d", "fwd_ret_20d")}  # its other heads
MAX_ROWS, MAX_SECONDS = 100_000, 120
NEEDS_WEIGHTS = {"timesfm"}  # pretrained ones, which nobody ships with a project
MARKET_SEED = 301


@dataclass(frozen=True)
class Fit:
    """What one fit made and took.

    Attributes
    ----------
    score : ndarray, shape (n,)
        Of the rows from validation on.
    labels : ndarray, shape (n,), or None
        Likeliest class of each row.
    fit_seconds, predict_seconds : float
        Of one processor.
    megabytes, model_kilobytes : float
        Growth of the peak memory of the process, and size of the saved files.
    """

    score: Matrix
    labels: Matrix | None
    fit_seconds: float
    predict_seconds: float
    megabytes: float
    model_kilobytes: float


def run(rounds: int | None) -> list[Row]:
    """Measure all families with ``rounds`` seeds (3 by default) on both markets."""
    seeds = range(rounds or 3)
    rows: list[Row] = []
    for name, market in (
        ("S&P 500", real_market()),
        ("simulated", simulated_market(MARKET_SEED)),
    ):
        found = list(_study(name, market, seeds))
        shown = pd.DataFrame(found).drop(columns="unit")
        shown = shown.sort_values("validation_ic", ascending=False, na_position="last")
        with pd.option_context("display.width", 320, "display.max_rows", None):
            print(shown.to_string(index=False, float_format="%.3f"), flush=True)
        rows += found
    return rows


def _study(study: str, market: Market, seeds: Sequence[int]) -> Iterator[Row]:
    """One row per baseline and family."""
    scores = baseline_scores(market.panel, seed=0)
    if market.oracle is not None:
        scores["oracle"] = market.oracle
    plain = {name: s for name, s in scores.items() if name != "oracle"}
    best = max(plain, key=lambda name: _mean(_ic(market, plain[name], "validation")))
    for name, score in scores.items():
        kind = "oracle" if name == "oracle" else "baseline"
        yield _row(study, kind, name, market, score, plain[best])
    problem = _problem(market, TARGET, "regression")
    classes = _problem(market, CLASSES, "three_class")
    blocks = yaml.safe_load(
        (PROJECT / "conf/base/parameters_model_training.yml").read_text("utf-8")
    )["model_training"]["parameters"]
    for family in registry.names():
        if family not in blocks or family in NEEDS_WEIGHTS:
            continue
        returns = problem
        if family in HELPERS:
            returns = _problem(market, TARGET, "regression", HELPERS[family])
        yield _family(study, market, (returns, classes), family, blocks[family],
                      seeds, plain[best])  # fmt: skip


def _family(
    study: str,
    market: Market,
    problems: tuple[Problem, Problem],
    family: str,
    block: dict[str, Any],
    seeds: Sequence[int],
    rival: Matrix,
) -> Row:
    """All seeds of one family; a failure is a row with its reason."""
    returns, classes = problems
    row: Row = {}
    tasks = registry.listing(family).tasks
    if "regression" in tasks:
        made = [_apart(returns, family, block, seed) for seed in seeds]
        reasons = [fit for fit in made if isinstance(fit, str)]
        if reasons:
            return _named(study, "family", family) | {"note": reasons[0]}
        fits = [fit for fit in made if isinstance(fit, Fit)]
        matrices = [_matrix(market, returns, fit.score) for fit in fits]
        ranks = [percentile_ranks(matrix) for matrix in matrices]
        score = np.asarray(np.mean(ranks, axis=0))
        row = _row(study, "family", family, market, score, rival)
        ics = [_mean(_ic(market, matrix, "test")) for matrix in matrices]
        row["one_seed_ic"] = float(np.mean(ics))
        row["seed_sd"] = float(np.std(ics, ddof=1)) if len(ics) > 1 else float("nan")
        row |= _costs(fits)
    else:
        row = _named(study, "family", family)
    if "three_class" in tasks:
        row |= _accuracy(classes, _apart(classes, family, block, seeds[0]), market)
    print(row, flush=True)
    return row


def _costs(fits: Sequence[Fit]) -> Row:
    names = ("fit_seconds", "predict_seconds", "megabytes", "model_kilobytes")
    return {
        name: float(np.median([getattr(fit, name) for fit in fits])) for name in names
    }


@dataclass(frozen=True)
class Problem:
    """Rows of a target: to fit, to stop early on, and to score."""

    train: Samples
    validation: Samples
    scored: Samples


def _problem(
    market: Market, target: str, task: str, helpers: Sequence[str] = ()
) -> Problem:
    names = [c for c in market.features.columns if c not in {"timestamp", "symbol"}]
    rows = assemble(market.panel, market.features, market.labels, target, task, names)
    ranks = feature_ranks(rows.features, rows.bars)
    rows = _with_helpers(market, replace(rows, features=normal_scores(ranks)), helpers)
    train, validation = (
        rows.take(market.splits.mask(name, rows.bars, rows.label_end)).labelled()
        for name in ("train", "validation")
    )
    first = market.splits.validation.first_bar
    return Problem(thin(train, MAX_ROWS), validation, rows.take(rows.bars >= first))


def _with_helpers(market: Market, rows: Samples, helpers: Sequence[str]) -> Samples:
    """Add the labels of further targets; a row is known when the latest of them is."""
    if not helpers:
        return rows
    others = [
        assemble(market.panel, market.features, market.labels, name, "regression", ())
        for name in helpers
    ]
    ends = np.stack([rows.label_end, *(one.label_end for one in others)])
    return replace(
        rows,
        label_end=np.where((ends < 0).any(axis=0), -1, ends.max(axis=0)),
        auxiliary=np.column_stack([one.target for one in others]),
        auxiliary_names=tuple(helpers),
    )


def _apart(
    problem: Problem, family: str, block: dict[str, Any], seed: int
) -> Fit | str:
    """Fit in a process of its own; the reason, where it fails or takes too long."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    arguments = (theirs, problem, family, block, seed)
    child = context.Process(target=_child, args=arguments)
    child.start()
    theirs.close()
    try:
        found: Fit | str = ours.recv()
    except EOFError:
        child.join()
        late = child.exitcode == -signal.SIGXCPU
        return f"not done after {MAX_SECONDS} s" if late else "the process died"
    child.join()
    return found


def _child(
    reply: Connection, problem: Problem, family: str, block: dict[str, Any], seed: int
) -> None:
    # Seconds of a processor: a busy machine must not decide what is measured.
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, resource.RLIM_INFINITY))
    try:
        reply.send(_fit(problem, family, block, seed))
    except UserError as error:
        reply.send(str(error))


def _fit(problem: Problem, family: str, block: dict[str, Any], seed: int) -> Fit:
    registry.family_type(family)  # its library is no part of the memory of a fit
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    model = registry.create(family, block, seed, 1)
    model.fit(problem.train, problem.validation)
    fitted = time.process_time()
    no_limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_CPU, no_limit)  # scores are no part of a fit
    output = model.predict(problem.scored)
    predicted = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder))
        size = sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file())
    shares = output.probabilities
    return Fit(
        output.score.astype(np.float64),
        None if shares is None else shares.argmax(axis=1) - 1.0,
        fitted - started,
        predicted - fitted,
        (peak - before) / 1024,
        size / 1024,
    )


def _matrix(market: Market, problem: Problem, score: Matrix) -> Matrix:
    rows = problem.scored
    return to_cross_sections(score, rows.bars, rows.symbols, rows.shape)


def _accuracy(problem: Problem, fit: Fit | str, market: Market) -> Row:
    """Accuracy on the test block beside the share of its commonest class."""
    if isinstance(fit, str):
        return {"note": f"classes: {fit}"}
    rows = problem.scored
    inside = market.splits.mask("test", rows.bars, rows.label_end)
    inside &= np.isfinite(rows.target) & np.isfinite(fit.score)
    truth = rows.target[inside]
    if fit.labels is None or not len(truth):
        return {}
    common = float(pd.Series(problem.train.target).mode().iloc[0])
    return {
        "accuracy": float((fit.labels[inside] == truth).mean()),
        "class_prior": float((truth == common).mean()),
    }


def _row(
    study: str, kind: str, name: str, market: Market, score: Matrix, rival: Matrix
) -> Row:
    block = block_length(LAG, HORIZON)
    test = _ic(market, score, "test")
    found = block_test(test, block)
    against = paired_comparison(test, _ic(market, rival, "test"), block, seed=0)
    neutral = block_test(neutral_ic(market, score, LAG, HORIZON), block)
    earned = money(market, score, LAG, HORIZON)
    validation = block_test(_ic(market, score, "validation"), block)
    return _named(study, kind, name) | {
        "validation_ic": validation.mean,
        "validation_t": validation.t,
        "test_ic": found.mean,
        "test_t": found.t,
        "neutral_ic": neutral.mean,
        "neutral_t": neutral.t,
        "minus_baseline": against.test.mean,
        "from": against.bootstrap_low,
        "to": against.bootstrap_high,
        **{key: earned[key] for key in ("turnover", "gross_bps", "net_bps", "net_t")},
    }


def _named(study: str, kind: str, name: str) -> Row:
    case = f"{study}: {name}"
    return {"case": case, "unit": "rank IC", "kind": kind, "name": name}


def _ic(market: Market, score: Matrix, block: str) -> Matrix:
    return rank_ic(market, score, LAG, HORIZON, block)


def _mean(series: Matrix) -> float:
    return float(np.nanmean(series))
