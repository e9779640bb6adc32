"""Volatility of many names over workers: each window is fitted once, then kept."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace

import numpy as np

from ranking_pipeline.cache.codec import Codec
from ranking_pipeline.cache.config import CacheConfig
from ranking_pipeline.cache.origin import code_of
from ranking_pipeline.cache.results import ResultCache
from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.jobs.costs import Costs
from ranking_pipeline.jobs.outcome import Outcome
from ranking_pipeline.jobs.spread import spread
from ranking_pipeline.panel import Panel
from ranking_pipeline.portfolio.candidates.garch import (
    GarchConfig,
    fit_months,
)
from ranking_pipeline.portfolio.candidates.indicators import traded_closes
from ranking_pipeline.portfolio.candidates.known_fits import Fits, KnownFits
from ranking_pipeline.portfolio.candidates.months import TradeMonths
from ranking_pipeline.portfolio.candidates.scorecard import Mask, Volatilities
from ranking_pipeline.portfolio.candidates.volatility_requests import (
    GARCH,
    OwnReturns,
    SymbolRequest,
    symbol_requests,
)
from ranking_pipeline.storage import PanelHandle

LABEL = "volatilities fitted"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SymbolJob:
    """The as-of bars of one symbol whose fits are not known, and where to keep them."""

    job_id: str
    panel: PanelHandle
    request: SymbolRequest
    options: GarchConfig
    cache: CacheConfig


@dataclass(frozen=True)
class Answer:
    """The fits of one symbol, and why they could not be kept (empty: they were)."""

    fits: Fits
    not_kept: str = ""


class VolatilityOverWorkers:
    """Volatilities from the cache where they are known, from workers where not.

    A worker keeps what it finds at once: a killed run loses only what was in work.

    Parameters
    ----------
    stored : PanelHandle
        What the workers read.
    options : GarchConfig
    how : JobsConfig
    cache : CacheConfig

    Attributes
    ----------
    costs : Costs
        Of the last call.
    """

    costs: Costs

    def __init__(
        self,
        stored: PanelHandle,
        options: GarchConfig,
        how: JobsConfig,
        cache: CacheConfig,
    ) -> None:
        self._stored, self._options, self._how = stored, options, how
        self._cache = cache

    def __call__(self, panel: Panel, months: TradeMonths, wanted: Mask) -> Volatilities:
        """Fit the names that are marked in ``wanted`` (M, S), at the as-of bars.

        Raises
        ------
        UserError
            The job of a symbol failed; what others gave is kept.
        """
        started = time.perf_counter()
        asked = list(symbol_requests(panel, months, wanted, self._options))
        result, jobs, saved = Volatilities.unknown(wanted.shape), [], 0.0
        for request in asked:
            known = KnownFits(self._cache, request.made_from).find()
            saved += _fill(result, request, known)
            missing = request.without(known.places())
            if missing.bars:
                jobs.append(self._job(panel, missing))
        done = spread(jobs, fit_symbol, self._how, LABEL, unit="name")
        ResultCache(self._cache, Codec()).sweep()
        for job in jobs:
            answer = _answer(done.outcomes[job.job_id], job.job_id)
            _fill(result, job.request, answer.fits)
        self.costs = replace(
            done.costs,
            n_jobs=len(asked),
            n_cached=len(asked) - len(jobs),
            seconds=time.perf_counter() - started,
            saved_seconds=saved,
        )
        return result

    def _job(self, panel: Panel, request: SymbolRequest) -> SymbolJob:
        name = panel.symbols[request.symbol]
        return SymbolJob(name, self._stored, request, self._options, self._cache)


def fit_symbol(job: SymbolJob) -> Answer:
    """Fit one symbol at its as-of bars and keep the fits; this runs in a worker."""
    from threadpoolctl import threadpool_limits

    panel, request = _loaded(job.panel), job.request
    closes = traded_closes(panel.cut(slice(None), _only(request.symbol)))[0]
    own, started = OwnReturns.of(closes), time.perf_counter()
    counts = own.counts(np.array(request.bars))
    # A fit has five parameters: a second thread only waits, and costs four times more.
    with threadpool_limits(1):
        path = fit_months(own.returns[: counts[-1]], counts - 1, job.options)
    fits = Fits.made_now(request.windows, path, time.perf_counter() - started)
    return Answer(fits, _keep(job.cache, request, fits))


def _keep(cache: CacheConfig, request: SymbolRequest, fits: Fits) -> str:
    if not cache.enabled:
        return ""
    if code_of(GARCH) != request.made_from["code"]:
        return "the worker's code or libraries are not those of the run"
    return KnownFits(cache, request.made_from).add(fits)


def _fill(result: Volatilities, request: SymbolRequest, fits: Fits) -> float:
    """Write down the fits that are asked for; tell what they took, in seconds."""
    places = fits.places()
    pairs = zip(request.months, request.windows, strict=True)
    found = [(month, places[window]) for month, window in pairs if window in places]
    months, rows = [month for month, _ in found], [row for _, row in found]
    for name, values in vars(result).items():
        values[months, request.symbol] = getattr(fits.path, name)[rows]
    return float(fits.seconds[rows].sum())


def _answer(outcome: Outcome, symbol: str) -> Answer:
    if outcome.status != "done":
        raise UserError(
            f"candidate_selection: the volatility of {symbol} failed: "
            f"{outcome.error.removeprefix('UserError: ')}"
        )
    answer: Answer = outcome.value
    if answer.not_kept:
        _logger.warning("%s is not cached: %s", symbol, answer.not_kept)
    return answer


def _loaded(handle: PanelHandle) -> Panel:
    """Read the panel, once per process."""
    if handle.sha256 not in _panels:
        _panels.clear()
        _panels[handle.sha256] = handle.read()
    return _panels[handle.sha256]


_panels: dict[str, Panel] = {}


def _only(symbol: int) -> slice:
    return slice(symbol, symbol + 1)
