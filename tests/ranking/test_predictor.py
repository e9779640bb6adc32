"""The live predictor and the rolling buffer: parity with the panel, and bad input."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.channels import (
    NORMALIZATIONS,
    ChannelScale,
    build_channels,
    needs_scale,
)
from ranking_pipeline.learning.loop import LoopConfig
from ranking_pipeline.learning.networks import NetworkSpec, make_network
from ranking_pipeline.learning.ranks import average_ranks
from ranking_pipeline.ranking.buffer import RollingBuffer
from ranking_pipeline.ranking.live_channels import live_channels
from ranking_pipeline.ranking.predictor import (
    CrossSectionalRankingPredictor,
    averaged_shares,
    rank_universe,
)
from ranking_pipeline.ranking.ranker import Ranker, RankerSpec, score_panel
from ranking_pipeline.ranking.store import Provenance, save_ranker
from ranking_pipeline.ranking.universe import TailRule, UniverseRanking, rank_signals

LENGTH, NAMES = 6, tuple(f"S{place:02d}" for place in range(14))
SCALE = ChannelScale((0.1, -0.2, 0.3, 0.0, 0.5), (1.5, 0.9, 1.1, 1.0, 2.0))
DAY = np.datetime64("2024-03-01")


def make_ranker(
    normalization: str = "log_returns", network: str = "mlp", seeds: int = 2
) -> Ranker:
    """Untrained networks with weights large enough to tell the names apart."""
    spec = RankerSpec(
        sequence_length=LENGTH,
        normalization=normalization,
        network=NetworkSpec(network, 8),
        loss="pairwise",
        loss_parameters={},
        loop=LoopConfig(),
        seeds=tuple(range(seeds)),
        top_pct=0.2,
        bottom_pct=0.3,
    )
    networks = [make_network(spec.network, (LENGTH, 5), seed=k) for k in spec.seeds]
    scale = SCALE if needs_scale(normalization) else None
    return Ranker(spec, scale, tuple(dict(n.state_dict()) for n in networks), {})


def make_bars(seed: int = 0, names: int = len(NAMES), bars: int = 90) -> np.ndarray:
    """Bars (S, T, 5) of a random walk."""
    rng = np.random.default_rng([seed, 6])
    close = 20 * np.exp(np.cumsum(rng.normal(0, 0.02, (names, bars)), axis=1))
    open_ = close * np.exp(rng.normal(0, 0.005, close.shape))
    high, low = np.maximum(open_, close) * 1.003, np.minimum(open_, close) * 0.997
    volume = np.exp(rng.normal(8, 0.5, close.shape))
    return np.stack([open_, high, low, close, volume], axis=2).astype(np.float32)


def live(bars: np.ndarray, predictor: CrossSectionalRankingPredictor) -> dict:
    latest = bars[:, -predictor.bars_required :]
    return dict(zip(NAMES, latest, strict=False))


@pytest.fixture(scope="module")
def predictor() -> CrossSectionalRankingPredictor:
    return CrossSectionalRankingPredictor(make_ranker())


@pytest.mark.parametrize(
    ("normalization", "network"),
    [(name, network) for name in NORMALIZATIONS for network in ("mlp", "linear")]
    + [
        ("log_returns", network)
        for network in ("gru", "lstm", "tcn", "transformer", "cross_stock")
    ],
)
def test_live_scores_are_those_of_the_panel(normalization: str, network: str) -> None:
    ranker, bars = make_ranker(normalization, network), make_bars()
    bars[3, -40:-38] = np.nan  # a hole in the history
    predictor = CrossSectionalRankingPredictor(ranker)
    ranking = predictor.predict(live(bars, predictor))
    expected = score_panel(ranker, bars)[-1]
    assert len(ranking.scores) == len(NAMES)
    got = [ranking.scores[name] for name in NAMES]
    np.testing.assert_array_equal(np.array(got, dtype=np.float32), expected)
    assert len(set(got)) > 5


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    names=st.integers(1, 6),
    missing=st.sampled_from([0.0, 0.02, 0.3]),
    length=st.integers(1, 9),
)
def test_live_channels_are_those_of_the_panel_to_the_bit(
    seed: int, names: int, missing: float, length: int
) -> None:
    bars = make_bars(seed, names, 60 + length)
    rng = np.random.default_rng(seed)
    bars[rng.random(bars.shape[:2]) < missing] = np.nan
    bars[rng.random(bars.shape) < missing / 5] = 0.0
    bars[0] = bars[0, :1] if seed % 3 == 0 else bars[0]  # a price that stands still
    fields = np.ascontiguousarray(bars.transpose(2, 1, 0))
    for normalization in NORMALIZATIONS:
        with np.errstate(all="ignore"):
            whole = build_channels(bars, normalization)
        for scale in (None, SCALE):
            wanted = whole if scale is None else scale.apply(whole)
            got = live_channels(fields, normalization, length, scale)
            expected = wanted[:, -length:].transpose(2, 1, 0)
            assert got.dtype == np.float32
            np.testing.assert_array_equal(got, expected)


def test_a_stored_ranker_is_read_by_its_checksum(tmp_path: Path) -> None:
    ranker, bars = make_ranker(), make_bars()
    save_ranker(ranker, tmp_path, Provenance("fwd_ret_1d", "cs_percentile", 1440))
    loaded = CrossSectionalRankingPredictor.load(tmp_path, min_universe=2)
    fresh = CrossSectionalRankingPredictor(ranker, min_universe=2)
    windows = live(bars, fresh)
    assert loaded.predict(windows) == fresh.predict(windows)
    weights = tmp_path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(UserError, match="SHA-256"):
        CrossSectionalRankingPredictor.load(str(tmp_path))


def test_the_tails_are_those_of_the_ranker_unless_others_are_given() -> None:
    ranker, bars = make_ranker(), make_bars()
    own = CrossSectionalRankingPredictor(ranker)
    ranking = own.predict(live(bars, own))
    assert ranking.long_symbols == ranking.rankings[:2]  # 0.2 of 14
    assert ranking.short_symbols == ranking.rankings[::-1][:4]  # 0.3 of 14
    wider = CrossSectionalRankingPredictor(ranker, top_pct=0.5, bottom_pct=1.0)
    ranking = wider.predict(live(bars, own))
    assert sorted(ranking.long_symbols + ranking.short_symbols) == list(NAMES)
    for wrong in ({"top_pct": 0.0}, {"bottom_pct": 1.5}, {"top_pct": math.nan}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            CrossSectionalRankingPredictor(ranker, **wrong)
    with pytest.raises(UserError, match="min_universe is 0"):
        CrossSectionalRankingPredictor(ranker, min_universe=0)


def test_networks_are_built_once_and_left_alone(
    predictor: CrossSectionalRankingPredictor,
) -> None:
    bars = make_bars()
    state = torch.get_rng_state()
    first = predictor.predict(live(bars, predictor))
    other = predictor.predict(dict(list(live(make_bars(5), predictor).items())[:7]))
    assert len(other.scores) == 7
    assert predictor.predict(live(bars, predictor)) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert (
        rank_universe(
            predictor.ranker, live(bars, predictor), top_pct=0.2, bottom_pct=0.3
        )
        == first
    )


def test_what_is_given_is_not_changed(
    predictor: CrossSectionalRankingPredictor,
) -> None:
    windows = live(make_bars(), predictor)
    copies = {name: bars.copy() for name, bars in windows.items()}
    for bars in windows.values():
        bars.flags.writeable = False
    predictor.predict(windows)
    for name, bars in windows.items():
        np.testing.assert_array_equal(bars, copies[name])


def _with(window: np.ndarray, place: tuple[int, int], value: float) -> np.ndarray:
    changed = window.astype(np.float64)
    changed[place] = value
    return changed


BAD = {
    "no_bars": lambda w: None,
    "wrong_shape": lambda w: w[1:],
    "one_symbol_too_deep": lambda w: w[None],
    "too_few_fields": lambda w: w[:, :4],
    "empty": lambda w: w[:0],
    "text": lambda w: w.astype(str),
    "a_word": lambda w: "bars",
    "objects": lambda w: w.astype(object),
    "complex": lambda w: w.astype(complex),
    "yes_or_no": lambda w: w > 0,
    "ragged": lambda w: [[1.0, 2.0], [1.0]],
    "masked": lambda w: np.ma.masked_array(w, w > 5),
    "infinite": lambda w: _with(w, (-2, 1), math.inf),
    "minus_infinite": lambda w: _with(w, (-2, 4), -math.inf),
    "too_large_for_float32": lambda w: _with(w, (-1, 0), 1e300),
    "infinite_in_the_history": lambda w: _with(w, (2, 3), math.inf),
    "negative_price": lambda w: _with(w, (-1, 2), -3.0),
    "price_of_zero": lambda w: _with(w, (-1, 3), 0.0),
    "negative_volume": lambda w: _with(w, (-3, 4), -1.0),
    "hole": lambda w: _with(w, (-3, 1), math.nan),
}
CODES = {
    "no_bars": "no_bars",
    "wrong_shape": "wrong_shape",
    "one_symbol_too_deep": "wrong_shape",
    "too_few_fields": "wrong_shape",
    "empty": "wrong_shape",
    "infinite": "infinite_value",
    "minus_infinite": "infinite_value",
    "too_large_for_float32": "infinite_value",
    "infinite_in_the_history": "infinite_value",
    "negative_price": "price_not_positive",
    "price_of_zero": "price_not_positive",
    "negative_volume": "volume_negative",
    "hole": "missing_bar",
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_symbol_changes_nothing_for_the_others(
    predictor: CrossSectionalRankingPredictor, fault: str
) -> None:
    windows = live(make_bars(), predictor)
    alone = dict(windows)
    for name in ("S03", "S13"):
        windows[name] = BAD[fault](windows[name])
        del alone[name]
    ranking, rest = predictor.predict(windows), predictor.predict(alone)
    assert ranking.scores == rest.scores
    assert ranking.long_symbols == rest.long_symbols
    assert list(ranking.excluded) == list(ranking.reason_codes) == ["S03", "S13"]
    assert ranking.reason_codes["S03"] == CODES.get(fault, "not_numbers")
    assert len(ranking.excluded["S13"]) > 6


def test_numbers_of_any_width_are_taken(
    predictor: CrossSectionalRankingPredictor,
) -> None:
    whole = {
        name: np.round(w * 100) for name, w in live(make_bars(), predictor).items()
    }
    expected = predictor.predict(whole)
    assert len(expected.scores) == len(NAMES)
    for kind in (np.float64, np.int64, np.uint32, ">f4"):
        mixed = dict(whole)
        mixed["S01"] = whole["S01"].astype(kind)
        mixed["S02"] = np.asfortranarray(whole["S02"])
        mixed["S04"] = whole["S04"].astype(kind).tolist()
        assert predictor.predict(mixed) == expected


def test_a_young_listing_is_ranked_and_a_stale_one_is_not(
    predictor: CrossSectionalRankingPredictor,
) -> None:
    windows = live(make_bars(), predictor)
    windows["S05"] = windows["S05"].copy()
    windows["S05"][:30] = np.nan
    stamps: dict = dict.fromkeys(NAMES, DAY)
    stamps |= {"S06": DAY - 1, "S07": DAY + 1, "S08": np.datetime64("NaT")}
    del stamps["S09"]
    ranking = predictor.predict(windows, last_bars=stamps, as_of=DAY)
    assert "S05" in ranking.scores
    assert list(ranking.excluded) == ["S06", "S07", "S08", "S09"]
    assert set(ranking.reason_codes.values()) == {"stale_bar"}
    assert "2024-02-29" in ranking.excluded["S06"]
    assert "not known" in ranking.excluded["S09"]
    everyone = predictor.predict(windows, as_of=DAY)
    assert everyone.reason == "no symbol can be ranked"
    assert len(everyone.excluded) == len(NAMES)


def test_names_are_text_and_compared_exactly(
    predictor: CrossSectionalRankingPredictor,
) -> None:
    windows = live(make_bars(), predictor)
    windows["s00"] = windows["S05"]
    ranking = predictor.predict(windows)
    assert {"s00", "S00"} <= set(ranking.scores)
    # The same bars give the same score but for the last bit: neighbours.
    places = [ranking.rankings.index(name) for name in ("s00", "S05")]
    assert abs(places[0] - places[1]) <= 1
    for names in ({1: None}, {None: None}, {"A": None, 2: None}):
        with pytest.raises(UserError, match="symbols as text"):
            predictor.predict(names)
    with pytest.raises(UserError, match="mapping of symbol to bars"):
        predictor.predict([make_bars()])  # type: ignore[arg-type]


def test_small_universes(predictor: CrossSectionalRankingPredictor) -> None:
    assert predictor.predict({}) == UniverseRanking(reason="no symbol can be ranked")
    windows = live(make_bars(), predictor)
    one = predictor.predict({"S00": windows["S00"]})
    assert one.scores == {"S00": 0.5}
    assert one.signals == {"S00": 0.0}
    assert one.long_symbols == one.short_symbols == []
    assert one.reason == "1 ranked symbols, fewer than 5"
    nobody = predictor.predict({"S00": None})
    assert nobody.reason_codes == {"S00": "no_bars"}
    assert nobody.scores == {}


def test_equal_scores_are_no_ranking() -> None:
    ranker = make_ranker()
    states = tuple(
        {k: torch.zeros_like(v) for k, v in s.items()} for s in ranker.states
    )
    predictor = CrossSectionalRankingPredictor(replace(ranker, states=states))
    ranking = predictor.predict(live(make_bars(), predictor))
    assert set(ranking.scores.values()) == {0.5}
    assert ranking.rankings == list(NAMES)
    assert ranking.long_symbols == ranking.short_symbols == []
    assert ranking.reason == "all scores are equal"
    assert list(ranking.signals.values()) == pytest.approx([0.0] * 14, abs=1e-15)


def test_ten_thousand_symbols() -> None:
    ranker = make_ranker(network="linear", seeds=1)
    predictor = CrossSectionalRankingPredictor(ranker)
    bars = make_bars(names=10_000, bars=predictor.bars_required)
    windows = {f"N{place:05d}": row for place, row in enumerate(bars)}
    windows["N00007"] = None  # type: ignore[assignment]
    ranking = predictor.predict(windows)
    assert len(ranking.rankings) == 9_999
    assert len(ranking.long_symbols) == 1_999
    assert not set(ranking.long_symbols) & set(ranking.short_symbols)
    assert sum(ranking.signals.values()) == pytest.approx(0, abs=1e-9)
    assert max(ranking.signals.values()) == 3.0


def test_a_network_without_a_number_for_a_symbol_loses_that_symbol_only() -> None:
    ranker = make_ranker("none", "linear", seeds=1)
    states = tuple({k: 1e3 * v for k, v in s.items()} for s in ranker.states)
    ranker = replace(ranker, scale=None, states=states)
    predictor = CrossSectionalRankingPredictor(ranker)
    windows = live(make_bars(), predictor)
    alone = {name: w for name, w in windows.items() if name != "S04"}
    windows["S04"] = np.full_like(windows["S04"], 3e38)
    ranking = predictor.predict(windows)
    assert ranking.reason_codes == {"S04": "score_not_finite"}
    assert ranking.scores == predictor.predict(alone).scores


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), seeds=st.integers(1, 4), names=st.integers(1, 12))
def test_seeds_are_averaged_as_in_training(seed: int, seeds: int, names: int) -> None:
    rng = np.random.default_rng([seed, 2])
    raw = rng.integers(0, 6, (seeds, names)).astype(np.float32)
    mask = torch.ones(1, names, dtype=torch.bool)
    total = sum(
        average_ranks(torch.tensor(row[None]), mask) / (names + 1) for row in raw
    )
    expected = (total / seeds)[0].float().numpy()
    np.testing.assert_array_equal(averaged_shares(raw), expected)
    raw[0, 0] = np.nan
    holed = averaged_shares(raw)
    assert np.isnan(holed[0])
    np.testing.assert_array_equal(holed[1:], averaged_shares(raw[:, 1:]))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), names=st.integers(1, 40), values=st.integers(1, 40))
def test_signals_sum_to_zero_and_follow_the_scores(
    seed: int, names: int, values: int
) -> None:
    scores = np.random.default_rng(seed).integers(0, values, names) / values
    ordered = np.sort(scores)[::-1]
    signals = rank_signals(ordered)
    assert signals.sum() == pytest.approx(0, abs=1e-12)
    assert (np.diff(signals) <= 0).all()
    np.testing.assert_array_equal(np.diff(ordered) == 0, np.diff(signals) == 0)
    assert np.abs(signals).max() <= 3.0


def test_tail_rule_by_hand() -> None:
    rule = TailRule(0.29, 0.1, 2)
    assert rule.size(100, rule.top_pct) == 29
    assert [rule.size(n, 0.1) for n in (1, 2, 3, 9, 10, 25)] == [0, 1, 1, 1, 1, 2]
    assert rule.size(5, 1.0) == 2


# The rolling buffer.


def tick(buffer: RollingBuffer, bars: np.ndarray, place: int) -> None:
    rows = [NAMES.index(name) for name in buffer.symbols]
    buffer.push(bars[rows, place], DAY + place)


@pytest.mark.parametrize("network", ["mlp", "lstm"])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_a_buffer_ranks_as_the_predictor_does_bit_for_bit(
    normalization: str, network: str
) -> None:
    predictor = CrossSectionalRankingPredictor(make_ranker(normalization, network))
    bars = make_bars(bars=2 * predictor.bars_required + 9)
    rng = np.random.default_rng(4)
    bars[rng.random(bars.shape[:2]) < 0.01] = np.nan
    buffer = RollingBuffer(predictor, NAMES[::-1])
    n_ranked = set()
    for place in range(bars.shape[1]):
        tick(buffer, bars, place)
        if place % 3 == 0 or place > bars.shape[1] - 9:
            ranking = buffer.ranking()
            past = np.full((len(NAMES), predictor.bars_required, 5), np.nan, np.float32)
            seen = bars[:, max(0, place + 1 - predictor.bars_required) : place + 1]
            past[:, past.shape[1] - seen.shape[1] :] = seen
            expected = predictor.predict(dict(zip(NAMES, past, strict=True)))
            assert ranking == expected
            assert predictor.predict(buffer.windows()) == expected
            n_ranked.add(len(ranking.scores))
    assert 0 in n_ranked
    assert max(n_ranked) > 10


def test_a_missing_bar_leaves_the_symbol_out_until_its_window_is_whole() -> None:
    predictor = CrossSectionalRankingPredictor(make_ranker())
    bars = make_bars(bars=90)
    bars[2, 75] = np.nan
    buffer = RollingBuffer(predictor, NAMES)
    out = []
    for place in range(90):
        tick(buffer, bars, place)
        ranking = buffer.ranking()
        if place >= 66 and ranking.reason_codes:
            assert ranking.reason_codes == {"S02": "missing_bar"}
            out.append(place)
    # The bar itself, the one whose return it takes part in, and the window after them.
    assert out == list(range(75, 75 + LENGTH + 1))


@pytest.mark.parametrize(
    ("value", "field", "code"),
    [
        (math.inf, 1, "infinite_value"),
        (-1.0, 3, "price_not_positive"),
        (-1.0, 4, "volume_negative"),
    ],
)
def test_an_impossible_value_is_remembered_as_long_as_the_predictor_sees_it(
    value: float, field: int, code: str
) -> None:
    predictor = CrossSectionalRankingPredictor(make_ranker("zscore"))
    bars = make_bars(bars=40)
    bars[1, 20, field] = value
    buffer, codes = RollingBuffer(predictor, NAMES), []
    for place in range(40):
        tick(buffer, bars, place)
        if place == 22:
            buffer.replace_symbols(NAMES[::-1])
        if place >= 19:
            codes.append(buffer.ranking().reason_codes)
            assert buffer.ranking() == predictor.predict(buffer.windows())
    assert codes[1 : 1 + LENGTH] == [{"S01": code}] * LENGTH
    assert codes[1 + LENGTH :] == [{}] * (20 - LENGTH)


def test_symbols_come_and_go() -> None:
    predictor = CrossSectionalRankingPredictor(make_ranker())
    bars, first = make_bars(bars=160), NAMES[:9]
    buffer = RollingBuffer(predictor, first)
    for place in range(75):
        tick(buffer, bars, place)
    before = buffer.ranking()
    assert len(before.scores) == 9
    buffer.replace_symbols(first[::-1])
    assert buffer.ranking() == before
    buffer.replace_symbols(("S12", *first[2:], "S10"))
    ranking = buffer.ranking()
    assert set(ranking.scores) == set(first[2:])
    assert ranking.reason_codes == {"S10": "missing_bar", "S12": "missing_bar"}
    for place in range(75, 160):
        tick(buffer, bars, place)
        assert buffer.ranking() == predictor.predict(buffer.windows())
    assert set(buffer.ranking().scores) == {*first[2:], "S10", "S12"}
    latest = {n: bars[NAMES.index(n), -66:] for n in buffer.symbols}
    assert buffer.ranking() == predictor.predict(latest)
    buffer.replace_symbols(())
    assert buffer.ranking() == UniverseRanking(reason="no symbol can be ranked")
    buffer.push(np.empty((0, 5)), DAY + 1000)


def test_a_refused_tick_leaves_the_buffer_as_it_was() -> None:
    predictor = CrossSectionalRankingPredictor(make_ranker())
    bars = make_bars(bars=80)
    buffer = RollingBuffer(predictor, NAMES)
    assert buffer.time is None
    assert buffer.ranking().reason == "no symbol can be ranked"
    for place in range(70):
        tick(buffer, bars, place)
    before, now = buffer.ranking(), bars[:, 70]
    assert len(before.scores) == len(NAMES)
    later = DAY + 70
    for wrong, when, message in (
        (now, DAY + 69, "in order, each once"),
        (now, DAY + 3, "in order, each once"),
        (now, np.datetime64("NaT"), "datetime64"),
        (now, "2030-01-01", "datetime64"),
        (now[1:], later, r"shape \(13, 5\)"),
        (now[:, :4], later, "one row per symbol"),
        (now.astype(object), later, "dtype object"),
        (now.astype(str), later, "dtype"),
    ):
        with pytest.raises(UserError, match=message):
            buffer.push(wrong, when)
    assert buffer.time == DAY + 69
    assert buffer.ranking() == before
    for wrong_names in (("A", "A"), "AB", (1, 2)):
        with pytest.raises(UserError, match="symbols"):
            buffer.replace_symbols(wrong_names)  # type: ignore[arg-type]
    assert buffer.symbols == NAMES
    assert buffer.ranking() == before
    buffer.push(now.astype(np.float64), later)
    assert buffer.ranking() != before
