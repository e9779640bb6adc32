"""Volatility of many names over workers: each name's year is fitted once, then kept."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
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
    GarchPath,
    fit_months,
)
from ranking_pipeline.portfolio.candidates.indicators import traded_closes
from ranking_pipeline.portfolio.candidates.months import TradeMonths
from ranking_pipeline.portfolio.candidates.scorecard import Mask, Volatilities
from ranking_pipeline.portfolio.candidates.volatility_requests import (
    GARCH,
    OwnReturns,
    YearRequest,
    year_requests,
)
from ranking_pipeline.storage import PanelHandle

LABEL = "volatilities fitted"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SymbolJob:
    """The years of one symbol that are not known, and where they are kept.

    ``places`` are those of its requests among all.
    """

    job_id: str
    panel: PanelHandle
    places: tuple[int, ...]
    requests: tuple[YearRequest, ...]
    options: GarchConfig
    cache: CacheConfig | None


@dataclass(frozen=True)
class Answer:
    """One path per request, and why any could not be kept (empty: all were)."""

    paths: tuple[GarchPath, ...]
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
        self._cache = cache if cache.enabled else None
        self._known = ResultCache(cache, Codec())

    def __call__(self, panel: Panel, months: TradeMonths, wanted: Mask) -> Volatilities:
        """Fit the names that are marked in ``wanted`` (M, S), at the as-of bars.

        Raises
        ------
        UserError
            The job of a symbol failed; what others gave is kept.
        """
        started = time.perf_counter()
        requests = list(year_requests(panel, months, wanted, self._options))
        found = [self._known.find(request.made_from) for request in requests]
        paths = {
            place: GarchPath(**look.value)
            for place, look in enumerate(found)
            if look.status == "hit"
        }
        jobs = self._jobs(panel, requests, set(paths))
        done = spread(jobs, fit_symbol, self._how, LABEL, unit="name")
        self._known.sweep()
        for job in jobs:
            answer = _answer(done.outcomes[job.job_id], job.job_id)
            paths |= zip(job.places, answer.paths, strict=True)
        n_names = len({request.symbol for request in requests})
        self.costs = replace(
            done.costs,
            n_jobs=n_names,
            n_cached=n_names - len(jobs),
            seconds=time.perf_counter() - started,
            saved_seconds=sum((look.seconds for look in found), 0.0),
        )
        result = Volatilities.unknown(wanted.shape)
        for place, request in enumerate(requests):
            _fill(result, request, paths[place])
        return result

    def _jobs(
        self, panel: Panel, requests: Sequence[YearRequest], known: AbstractSet[int]
    ) -> list[SymbolJob]:
        """One job for each symbol with years that are not known."""
        places: dict[int, list[int]] = defaultdict(list)
        for place, request in enumerate(requests):
            if place not in known:
                places[request.symbol].append(place)
        return [
            SymbolJob(
                panel.symbols[symbol],
                self._stored,
                tuple(own),
                tuple(requests[place] for place in own),
                self._options,
                self._cache,
            )
            for symbol, own in places.items()
        ]


def fit_symbol(job: SymbolJob) -> Answer:
    """Fit the years of one symbol and keep them; this runs in a worker."""
    from threadpoolctl import threadpool_limits

    panel = _loaded(job.panel)
    closes = traded_closes(panel.cut(slice(None), _only(job.requests[0].symbol)))[0]
    own, paths, problems = OwnReturns.of(closes), [], ""
    # A fit has five parameters: a second thread only waits, and costs four times more.
    with threadpool_limits(1):
        for request in job.requests:
            started = time.perf_counter()
            counts = own.counts(np.array(request.bars))
            path = fit_months(own.returns[: counts[-1]], counts - 1, job.options)
            paths.append(path)
            if job.cache is not None:
                seconds = time.perf_counter() - started
                problems = _keep(job.cache, request, path, seconds) or problems
    return Answer(tuple(paths), problems)


def _keep(
    cache: CacheConfig, request: YearRequest, path: GarchPath, seconds: float
) -> str:
    if code_of(GARCH) != request.made_from["code"]:
        return "the worker's code or libraries are not those of the run"
    return ResultCache(cache, Codec()).keep(request.made_from, path._asdict(), seconds)


def _fill(result: Volatilities, request: YearRequest, path: GarchPath) -> None:
    cells = list(request.months), request.symbol
    for name, values in vars(result).items():
        values[cells] = getattr(path, name)


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
