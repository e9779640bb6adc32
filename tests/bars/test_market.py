"""The simulated market: deterministic, causal, its truth paid when it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from ranking_pipeline.bars.config import ChecksConfig, MarketConfig
from ranking_pipeline.bars.ingest import Ingested, ingest
from ranking_pipeline.bars.market import (
    TRUTH_COLUMNS,
    SimulatedMarket,
    empty_truth,
    restrict_truth,
    simulate_market,
)
from ranking_pipeline.bars.market_clock import bar_clock
from ranking_pipeline.bars.planted_signal import SIGNAL_BARS, Signal, planted_score
from ranking_pipeline.bars.raw import FrameBars
from ranking_pipeline.bars.reading import Reading
from ranking_pipeline.panel import OHLCV

from .conftest import CHECKS

Make = Callable[..., MarketConfig]
Array = npt.NDArray[np.float64]
STRICT = {"max_quarantined_share": 0.01, "max_quarantined_share_of_symbol": 0.1}
PLAIN = {"late_listings": 0, "delistings": 0, "missing_share": 0.0}


def _check(market: SimulatedMarket, **changes: Any) -> Ingested:
    config = ChecksConfig(**(CHECKS | STRICT | {"timezone": None} | changes))
    raw = FrameBars(market.raw, Reading("simulated"))
    return ingest(raw, config, now=None, calendar=market.sessions)


def _field(ingested: Ingested, name: str) -> pd.DataFrame:
    panel = ingested.panel
    stamps = pd.DatetimeIndex(panel.timestamps, tz="UTC")
    values = panel.cross_sections(name).astype(float)
    return pd.DataFrame(values, stamps, list(panel.symbols))


def _matrix(frame: pd.DataFrame, column: str, like: pd.DataFrame | None = None) -> Any:
    wide = frame.astype({"symbol": str}).pivot(
        index="timestamp", columns="symbol", values=column
    )
    return wide if like is None else wide.reindex_like(like)


def _rank_ic(score: pd.DataFrame, outcome: pd.DataFrame) -> float:
    both = score.notna() & outcome.notna()
    enough = both.sum(axis=1) >= 20
    one = score.where(both).rank(axis=1)[enough]
    two = outcome.where(both).rank(axis=1)[enough]
    return float(one.corrwith(two, axis=1).mean())


@pytest.fixture(scope="module")
def default(market: Make) -> SimulatedMarket:
    return simulate_market(market(), 0, 1)


@pytest.fixture(scope="module")
def clean(default: SimulatedMarket) -> Ingested:
    return _check(default)


def test_the_same_seed_gives_the_same_bars(
    market: Make, default: SimulatedMarket
) -> None:
    again = simulate_market(market(), 0, 1)
    pd.testing.assert_frame_equal(again.raw, default.raw, check_exact=True)
    pd.testing.assert_frame_equal(again.truth, default.truth, check_exact=True)
    other = simulate_market(market(), 1, 1)
    assert not np.array_equal(other.raw["close"][:100], default.raw["close"][:100])


@pytest.mark.parametrize("seed", range(5))
def test_the_oracle_is_paid_at_the_planted_lag(market: Make, seed: int) -> None:
    truth = simulate_market(market(), seed, 1)
    close = _field(_check(truth), "close")
    oracle = _matrix(truth.truth, "oracle_score", close)
    at_lag = {
        lag: _rank_ic(oracle, close.shift(-lag - 1) / close.shift(-lag) - 1)
        for lag in (0, 1, 2)
    }
    assert 0.12 < at_lag[1] < 0.155
    assert at_lag[0] < 0.7 * at_lag[1]
    assert at_lag[2] < 0.7 * at_lag[1]
    held = at_lag[1]
    reversal = -(close / close.shift(1) - 1)
    assert 0.01 < _rank_ic(reversal, close.shift(-2) / close.shift(-1) - 1) < held / 2


def test_the_lag_moves_the_payment(market: Make) -> None:
    truth = simulate_market(market(), 0, 0)
    close = _field(_check(truth), "close")
    oracle = _matrix(truth.truth, "oracle_score", close)
    assert _rank_ic(oracle, close.shift(-1) / close - 1) > 0.12


def test_the_premium_is_strength_times_loading_times_score(market: Make) -> None:
    """With and without strength, the bars up to the first payment are the same."""
    config = market(**PLAIN, planted_defects=False, n_bars=64)
    paid = simulate_market(config, 3, 1)
    free = simulate_market(config.model_copy(update={"strength": 0.0}), 3, 1)
    with_, without = _matrix(paid.raw, "close"), _matrix(free.raw, "close")
    step = (np.log(with_).diff() - np.log(without).diff()).to_numpy()
    score = _matrix(paid.truth, "oracle_score").to_numpy()
    first = SIGNAL_BARS - 1
    # Prices are rounded to 1e-4, so returns agree to about 1e-4 / price.
    np.testing.assert_allclose(step[1 : first + 2], 0.0, atol=1e-4)
    one = simulate_market(config.model_copy(update={"strength": 0.28}), 3, 1)
    double = np.log(_matrix(one.raw, "close")).diff() - np.log(without).diff()
    # Truth starts with the bar 32 after the first; it is paid two bars later.
    bar = SIGNAL_BARS + 2
    assert np.corrcoef(np.sign(step[bar]), np.sign(score[0]))[0, 1] > 0.9
    ratio = double.to_numpy()[first + 2] / step[first + 2]
    assert abs(np.median(ratio) - 2.0) < 0.01


def test_reversed_names_answer_the_other_way(market: Make) -> None:
    truth = simulate_market(market(strength=0.3), 0, 1)
    close = _field(_check(truth), "close")
    oracle = _matrix(truth.truth, "oracle_score", close)
    loading = truth.truth.groupby("symbol", observed=True)["loading"].first()
    names = loading.index[loading == -2.0].astype(str)
    assert len(names) == 8
    sectors = truth.sectors.set_index("symbol")["sector"]
    assert sectors[names].nunique() >= 6
    payoff = close.shift(-2) / close.shift(-1) - 1
    payoff = payoff.sub(payoff.mean(axis=1), axis=0)
    score = oracle / loading.rename(index=str)
    slope = {name: score[name].corr(payoff[name]) for name in close}
    reversed_slopes = [slope[name] for name in names]
    others = [slope[name] for name in close if name not in set(names)]
    assert max(reversed_slopes) < 0.0
    assert np.mean(others) > 0.1


def test_the_truth_is_known_at_its_bar(market: Make) -> None:
    """A longer simulation has the same beginning: nothing depends on later bars."""
    short = simulate_market(market(**PLAIN, planted_defects=False, n_bars=90), 5, 1)
    long = simulate_market(market(**PLAIN, planted_defects=False, n_bars=140), 5, 1)
    for ours, theirs in ((short.raw, long.raw), (short.truth, long.truth)):
        last = ours["timestamp"].max()
        begin = theirs[theirs["timestamp"] <= last]
        column = "close" if "close" in ours else "oracle_score"
        left, right = _matrix(ours, column), _matrix(begin, column)
        pd.testing.assert_frame_equal(left, right, check_exact=True)


def _plain_score(returns: Array, gaps: Array, volume: Array, sigma: Array) -> Array:
    """The formula of the score, symbol by symbol and term by term."""
    n = returns.shape[1]
    parts = np.zeros((4, n))
    turbulence = [float(np.std(returns[-20:, i]) / sigma[i]) for i in range(n)]
    for i in range(n):
        parts[0, i] = gaps[i]
        if turbulence[i] < np.median(turbulence):
            parts[1, i] = sum(returns[-20:, i])
        parts[2, i] = volume[-1, i] - sum(volume[-21:-1, i]) / 20
        for k in range(32):
            wave = np.cos(2 * np.pi * k / 8) * np.exp(-k / 14)
            parts[3, i] -= wave * returns[-1 - k, i] / sigma[i]
    z = [(part - part.mean()) / part.std() for part in parts]
    total = -0.8 * z[0] + 0.4 * z[1] + 0.5 * z[2] + 2.0 * z[3]
    return np.asarray((total - total.mean()) / total.std())


def test_the_score_against_its_plain_formula(market: Make) -> None:
    rng = np.random.default_rng(1)
    returns, volume = rng.normal(0, 0.01, (32, 9)), rng.normal(0, 1, (32, 9))
    gaps, sigma = rng.normal(0, 0.01, 9), rng.uniform(0.5, 2.0, 9)
    weights = market().signal_weights
    signal = Signal(gaps, returns, volume, np.ones(9, dtype=bool))
    got = planted_score(signal, sigma, weights)
    np.testing.assert_allclose(got, _plain_score(returns, gaps, volume, sigma))
    # A symbol that is not listed changes nothing for the others and has no score.
    wider = Signal(
        np.append(gaps, 9.0),
        np.c_[returns, np.full(32, 5.0)],
        np.c_[volume, np.full(32, 5.0)],
        np.append(signal.listed, False),
    )
    both = planted_score(wider, np.append(sigma, 1.0), weights)
    np.testing.assert_allclose(both, np.append(got, 0.0))
    early = replace(signal, returns=returns[1:], log_volume=volume[1:])
    assert not planted_score(early, sigma, weights).any()


def test_the_score_can_be_computed_from_the_bars(market: Make) -> None:
    truth = simulate_market(market(**PLAIN, planted_defects=False, n_bars=80), 2, 1)
    close, open_ = _matrix(truth.raw, "close"), _matrix(truth.raw, "open")
    volume = np.log(_matrix(truth.raw, "volume")).to_numpy()
    gaps = np.log(open_ / close.shift(1)).to_numpy()
    returns = np.log(close).diff().to_numpy()
    # Own volatility is a hidden constant: its estimate gives nearly the same ranks.
    sigma = np.nanstd(returns, axis=0)
    got = _plain_score(returns[-32:], gaps[-1], volume[-32:], sigma)
    oracle = _matrix(truth.truth, "oracle_score")
    loading = truth.truth.groupby("symbol", observed=True)["loading"].first()
    planted = (oracle.iloc[-1] / loading.rename(index=str)).to_numpy()
    assert np.corrcoef(got, planted)[0, 1] > 0.95


def test_truth_lies_on_the_bars(default: SimulatedMarket, clean: Ingested) -> None:
    truth = default.truth
    assert tuple(truth.columns) == TRUTH_COLUMNS
    keys = truth[["timestamp", "symbol"]].astype({"symbol": str})
    assert keys.equals(keys.sort_values(["timestamp", "symbol"], ignore_index=True))
    stamps = pd.DatetimeIndex(clean.panel.timestamps, tz="UTC")
    assert set(truth["timestamp"]) <= set(stamps)
    kept = restrict_truth(truth, clean.panel)
    # All but the rows that were damaged beyond use have a bar.
    assert 1 <= len(truth) - len(kept) <= 6
    here = _field(clean, "close").stack().dropna().index
    asked = pd.MultiIndex.from_frame(
        truth[["timestamp", "symbol"]].astype({"symbol": str})
    )
    pd.testing.assert_frame_equal(kept, truth[asked.isin(here)].reset_index(drop=True))
    part = restrict_truth(truth, clean.panel.cut(slice(100, 200), slice(3, 9)))
    assert set(part["symbol"].astype(str)) == set(clean.panel.symbols[3:9])
    assert part["timestamp"].min() == stamps[100]
    assert restrict_truth(empty_truth(), clean.panel).empty
    assert np.isfinite(truth["oracle_score"]).all()
    assert empty_truth().dtypes.astype(str).tolist()[0] == "datetime64[ns, UTC]"
    assert tuple(empty_truth().columns) == TRUTH_COLUMNS


def test_planted_defects_are_found_and_nothing_else(
    default: SimulatedMarket, clean: Ingested
) -> None:
    found = clean.quality.set_index("rule")["rows"].to_dict()
    planted = dict(default.planted)
    run = planted.pop("stale_run")
    assert found.pop("stale_run") == run - 5
    found.pop("reverting_outlier", None)
    assert found == planted
    swapped = clean.quarantine.set_index("rule").loc["price_outside_range"]
    assert swapped["high"] < swapped["low"]
    assert clean.summary["source"] == "simulated"


def test_listings_delistings_and_gaps(
    market: Make, default: SimulatedMarket, clean: Ingested
) -> None:
    present = clean.panel.present
    assert present.shape == (96, 1250)
    first = present.argmax(axis=1)
    last = 1249 - present[:, ::-1].argmax(axis=1)
    assert (first > 100).sum() == 6
    assert (last < 1200).sum() == 10
    missing = clean.summary["missing_bars"] / present.sum()
    assert 0.001 < missing < 0.003
    assert clean.summary["survivorship"]["warning"] == ""


def test_returns_look_like_those_of_stocks(clean: Ingested) -> None:
    close = _field(clean, "close")
    returns = close.pct_change(fill_method=None)
    annual = returns.std() * np.sqrt(252)
    assert annual.between(0.10, 0.60).all()
    assert 0.15 < annual.median() < 0.45
    shape = returns.kurt().median() + 3
    assert 4 < shape < 20
    assert returns.abs().max().max() < 0.4
    clustering = returns.abs().apply(lambda series: series.autocorr(1)).median()
    assert clustering > 0.02
    common = returns.corr().to_numpy()[np.triu_indices(96, 1)].mean()
    assert 0.1 < common < 0.6


def test_gaps_lie_on_the_path_of_the_price(market: Make) -> None:
    truth = simulate_market(market(**PLAIN, planted_defects=False), 0, 1)
    close, open_ = _matrix(truth.raw, "close"), _matrix(truth.raw, "open")
    gap, whole = np.log(open_ / close.shift(1)), np.log(close / close.shift(1))
    share = (gap.var() / whole.var()).median()
    assert 0.1 < share < 0.25
    assert gap.corrwith(whole).median() > 0.05
    high, low = _matrix(truth.raw, "high"), _matrix(truth.raw, "low")
    assert (high >= open_).all().all()
    assert (low <= close).all().all()


def _raw_digest(raw: pd.DataFrame) -> str:
    digest = sha256(",".join(raw["symbol"].astype(str)).encode())
    digest.update(raw["timestamp"].to_numpy("M8[ns]").tobytes())
    for name in OHLCV:
        # Prices and volumes are rounded, so that they are alike on every machine.
        digest.update(raw[name].to_numpy(np.float64).tobytes())
    return digest.hexdigest()


def test_the_daily_market_stays_what_it_was(
    market: Make, default: SimulatedMarket
) -> None:
    short = simulate_market(market(n_bars=300), 0, 1)
    assert _raw_digest(short.raw) == (
        "f34a6d55fdfea0d1b2e3b4fab2950c55bdc5d27d8c53240d831bd98b88e0d16b"
    )
    assert _raw_digest(default.raw) == (
        "c64e1e9fbdfd5d4e0b7fc14b8fd0e764d0774b5cf8540e4457e3bc21d45a441e"
    )


def test_the_clock_without_a_calendar(market: Make) -> None:
    clock = bar_clock(market(interval="5m", n_bars=200, start_date="2019-03-08"))
    assert clock.starts[0] == pd.Timestamp("2019-03-08 14:30", tz="UTC")
    assert clock.ends[77] == pd.Timestamp("2019-03-08 21:00", tz="UTC")
    # Summer time begins on Sunday 2019-03-10.
    assert clock.starts[78] == pd.Timestamp("2019-03-11 13:30", tz="UTC")
    assert np.flatnonzero(clock.opens_session).tolist() == [0, 78, 156]
    np.testing.assert_allclose(clock.distance[[0, 77]], [-77 / 78, 77 / 78])
    assert ((clock.ends - clock.starts) == pd.Timedelta(minutes=5)).all()
    part = bar_clock(market(interval="1m", n_bars=64, bars_per_session=30))
    assert part.ends[29] == pd.Timestamp("2019-01-02 15:00", tz="UTC")
    assert part.starts[30] == pd.Timestamp("2019-01-03 14:30", tz="UTC")


def test_the_clock_of_an_exchange(market: Make) -> None:
    changes: dict[str, Any] = {"calendar": "XNYS", "start_date": "2024-07-02"}
    clock = bar_clock(market(interval="5m", n_bars=200, **changes))
    opens = clock.starts[clock.opens_session]
    # 3 July closes at 13:00, 4 July is a holiday, 6 and 7 July are a weekend.
    assert [f"{stamp:%m-%d %H:%M}" for stamp in opens] == [
        "07-02 13:30",
        "07-03 13:30",
        "07-05 13:30",
        "07-08 13:30",
    ]
    assert np.flatnonzero(clock.opens_session).tolist() == [0, 78, 120, 198]
    assert clock.ends[119] == pd.Timestamp("2024-07-03 17:00", tz="UTC")
    assert len(clock.ends) == 200
    days = bar_clock(market(n_bars=64, **changes)).starts
    assert pd.Timestamp("2024-07-04", tz="UTC") not in days
    assert len(days) == 64
    minutes = bar_clock(
        market(interval="1m", n_bars=400, bars_per_session=390, **changes)
    )
    assert minutes.ends[389] == pd.Timestamp("2024-07-02 20:00", tz="UTC")
    assert minutes.starts[390] == pd.Timestamp("2024-07-03 13:30", tz="UTC")


def test_too_many_bars_for_a_session_are_refused(market: Make) -> None:
    with pytest.raises(ValueError, match="holds 78 bars of 5m"):
        market(interval="5m", bars_per_session=79)
    whole_day = market(interval="5m", bars_per_session=288, calendar="24/7", n_bars=300)
    clock = bar_clock(whole_day)
    assert clock.starts[288] == pd.Timestamp("2019-01-03", tz="UTC")


@pytest.fixture(scope="module")
def intraday(market: Make) -> SimulatedMarket:
    changes: dict[str, Any] = {"n_bars": 78 * 40, "calendar": "XNYS"}
    config = market(interval="5m", **changes, **PLAIN, planted_defects=False)
    return simulate_market(config, 0, 1)


def test_five_minute_bars(market: Make, intraday: SimulatedMarket) -> None:
    starts = intraday.raw["timestamp"].unique()
    assert len(starts) == 78 * 40
    truth = intraday.truth
    assert set(truth["timestamp"]) <= set(starts + pd.Timedelta(minutes=5))
    panel = _check(intraday, interval="5m").panel
    assert int(panel.present.sum()) == len(intraday.raw)
    assert set(panel.session_minutes) == set(range(5, 391, 5))
    np.testing.assert_array_equal(panel.session_minutes[:78], np.arange(5, 391, 5))
    close = _matrix(intraday.raw, "close")
    returns = np.log(close).diff()
    annual = returns.std() * np.sqrt(252 * 78)
    assert 0.15 < annual.median() < 0.5


def test_unrest_and_volume_lie_at_the_edges_of_a_session(
    intraday: SimulatedMarket,
) -> None:
    close = np.log(_matrix(intraday.raw, "close"))
    inside = close - np.log(_matrix(intraday.raw, "open"))
    volume = _matrix(intraday.raw, "volume")
    clock = pd.DatetimeIndex(close.index).tz_convert("America/New_York").time
    size = inside.abs().groupby(clock).median().median(axis=1).to_numpy()
    traded = volume.groupby(clock).median().median(axis=1).to_numpy()
    for profile, least in ((size, 1.6), (traded, 2.0)):
        noon = np.median(profile[30:48])
        assert profile[1:4].mean() > least * noon
        assert profile[-4:].mean() > least * noon
        assert profile[1:20].mean() > profile[20:39].mean()
    # The variance within the session is spread, not added: the mean square is one.
    assert (
        0.9 < (inside.iloc[1:].var() / close.diff().iloc[1:].var()).median() / 0.9 < 1.1
    )


def test_nights_move_prices(intraday: SimulatedMarket) -> None:
    close = np.log(_matrix(intraday.raw, "close"))
    gap = np.log(_matrix(intraday.raw, "open")) - close.shift(1)
    day = pd.DatetimeIndex(close.index).tz_convert("America/New_York").date
    opens = np.append(False, day[1:] != day[:-1])
    night, between = gap[opens].std(), gap[~opens].std()
    assert 8 < (night / between).median() < 16
    whole = close.groupby(day).last().diff().var()
    assert 0.1 < (gap[opens].var() / whole).median() < 0.35
    assert np.isfinite(_matrix(intraday.raw, "volume")).all(axis=None)
    assert _matrix(intraday.raw, "volume").max(axis=None) < 1e9


@pytest.mark.parametrize("interval", ["5m", "1m"])
def test_the_oracle_is_paid_within_sessions(market: Make, interval: str) -> None:
    config = market(
        interval=interval, n_bars=1560, **PLAIN, planted_defects=False, calendar="XNYS"
    )
    truth = simulate_market(config, 0, 1)
    close = _matrix(truth.raw, "close")
    close.index = close.index + pd.Timedelta(interval.replace("m", "min"))
    oracle = _matrix(truth.truth, "oracle_score", close)
    at_lag = {
        lag: _rank_ic(oracle, close.shift(-lag - 1) / close.shift(-lag) - 1)
        for lag in (0, 1, 2)
    }
    assert 0.11 < at_lag[1] < 0.17
    assert at_lag[0] < 0.7 * at_lag[1]
    assert at_lag[2] < 0.7 * at_lag[1]


def test_intraday_truth_is_known_at_its_bar(market: Make) -> None:
    """A longer simulation has the same beginning, over a night too."""
    config = market(
        interval="5m", n_bars=120, **PLAIN, planted_defects=False, calendar="XNYS"
    )
    short = simulate_market(config, 5, 1)
    long = simulate_market(config.model_copy(update={"n_bars": 200}), 5, 1)
    for name in ("close", "volume"):
        one, two = _matrix(short.raw, name), _matrix(long.raw, name)
        np.testing.assert_array_equal(one, two.iloc[:120])
    one, two = (_matrix(each.truth, "oracle_score") for each in (short, long))
    np.testing.assert_array_equal(one, two.iloc[: len(one)])


def test_many_names_stay_in_order(market: Make) -> None:
    truth = simulate_market(market(n_symbols=1001, n_bars=64), 0, 1)
    names = truth.sectors["symbol"].tolist()
    assert names == sorted(names)
    assert len(set(names)) == 1001


def test_a_configured_zone_does_not_move_simulated_bars(market: Make) -> None:
    truth = simulate_market(market(n_bars=64), 0, 1)
    panel = _check(truth, timezone="America/New_York").panel
    stamps = pd.DatetimeIndex(panel.timestamps, tz="UTC")
    assert set(truth.truth["timestamp"]) <= set(stamps)
