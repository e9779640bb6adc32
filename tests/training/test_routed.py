"""Routed scores, cell by cell, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from ranking_pipeline.training.calibration import UNKNOWN, calibrate, shrunk_slope
from ranking_pipeline.training.collect import MODEL_COLUMNS, join_predictions
from ranking_pipeline.training.routed import routed, stitch
from ranking_pipeline.training.sloped import sloped
from ranking_pipeline.training.units import in_payoff_units

DAYS = pd.to_datetime(["2020-01-01", "2020-01-02"], utc=True).astype(
    "datetime64[ns, UTC]"
)
PLAN: dict[str, Any] = {
    "targets": {
        "ret": {
            "route": "CROSS_SECTIONAL",
            "symbols": {
                "A": {"route": "SYMBOL_SPECIFIC"},
                "B": {"route": "BOTH"},
                "C": {"route": "BLOCKED"},
                "D": {"route": "CROSS_SECTIONAL"},
                "F": {"route": "SYMBOL_SPECIFIC"},
            },
        }
    }
}


Row = dict[str, Any]


def _model(model_id: str, route: str, symbol: str = "", n_rows: int = 10) -> Row:
    row: dict[str, Any] = dict.fromkeys(MODEL_COLUMNS, "")
    family = model_id.partition(":")[0]
    row |= {"model_id": model_id, "target": "ret", "family": family, "route": route}
    row |= {"symbol": symbol, "seed": 1, "n_rows": n_rows}
    row |= {"train_first": DAYS[0], "train_last": DAYS[1], "window": 0}
    row |= {"predict_first": DAYS[0], "predict_last": DAYS[1]}
    row |= {"calibration_slope": np.nan, "calibration_error": np.nan}
    return row


def _measured(row: Row, slope: float, error: float = 1e-9) -> Row:
    """A slope that was measured so well that nothing draws it to 1."""
    return row | {"calibration_slope": slope, "calibration_error": error}


def _scores(model_id: str, cells: dict[tuple[int, str], float]) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "timestamp": DAYS[[day for day, _ in cells]],
            "symbol": [symbol for _, symbol in cells],
            "target": "ret",
            "model_id": model_id,
            "score": np.array(list(cells.values()), dtype=np.float32),
        }
    )
    chances = ("prob_short", "prob_neutral", "prob_long")
    return table.assign(**dict.fromkeys(chances, np.float32("nan")))


POOLED = dict(zip([(0, s) for s in "ABCDEF"], [1.0, 2, 3, 4, 5, 6], strict=True)) | {
    (1, "A"): 1.0,
    (1, "C"): 9.0,
}
OWN = {
    "A": {(0, "A"): -10.0, (1, "A"): -20.0},
    "B": {(0, "B"): 8.0},
    "C": {(0, "C"): 100.0},
}


def _run(pooled: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    models = [_model(f"{f}:ret", "cross_sectional") for f in pooled]
    models += [_model(f"ridge:ret:{s}", "symbol_specific", s, 3) for s in OWN]
    tables = [_scores(f"{f}:ret", POOLED) for f in pooled]
    tables += [_scores(f"ridge:ret:{s}", cells) for s, cells in OWN.items()]
    return routed(PLAN, pd.DataFrame(models), join_predictions(tables))


def _cells(predictions: pd.DataFrame, model_id: str) -> dict[tuple[int, str], float]:
    rows = predictions[predictions["model_id"] == model_id]
    days = [list(DAYS).index(t) for t in rows["timestamp"]]
    return dict(zip(zip(days, rows["symbol"], strict=True), rows["score"], strict=True))


def test_each_cell_follows_the_route_of_its_symbol() -> None:
    models, predictions = _run(("lightgbm", "xgboost"))
    assert list(models["model_id"]) == [
        "lightgbm+ridge:ret:routed",
        "xgboost+ridge:ret:routed",
    ]
    first = models.iloc[0]
    assert (first["family"], first["route"], first["n_rows"]) == (
        "lightgbm+ridge",
        "routed",
        19,
    )
    assert _cells(predictions, "lightgbm+ridge:ret:routed") == {
        (0, "A"): -10,  # own
        (0, "B"): 5,  # mean of 2 and 8
        (0, "C"): 5,  # blocked: median of -10, 5, 4, 5, 6
        (0, "D"): 4,  # pooled by its route
        (0, "E"): 5,  # not in the plan: pooled
        (0, "F"): 6,  # its own model failed: pooled
        (1, "A"): -20,
        (1, "C"): -20,  # blocked: median of what is left
    }
    assert predictions["score"].dtype == np.float32


def test_without_a_pooled_model_the_rest_has_no_opinion() -> None:
    models, predictions = _run(())
    assert list(models["model_id"]) == ["ridge:ret:routed"]
    assert _cells(predictions, "ridge:ret:routed") == {
        (0, "A"): -10,
        (0, "B"): 8,
        (0, "C"): -1,  # median of -10 and 8
        (1, "A"): -20,
    }


def test_a_bar_without_any_score_has_no_row() -> None:
    own = {"A": {(0, "A"): -10.0}, "C": {(1, "C"): 5.0}}  # C is blocked
    models = [_model(f"ridge:ret:{s}", "symbol_specific", s, 3) for s in own]
    tables = [_scores(f"ridge:ret:{s}", cells) for s, cells in own.items()]
    _, predictions = routed(PLAN, pd.DataFrame(models), join_predictions(tables))
    assert _cells(predictions, "ridge:ret:routed") == {(0, "A"): -10}


def test_scores_meet_in_units_of_the_payoff() -> None:
    """A pooled model that only ranks, with scores ten times too wide and no level."""
    models = [_measured(_model("lightgbm_rank:ret", "cross_sectional"), 0.1)]
    models += [
        _measured(_model(f"ridge:ret:{s}", "symbol_specific", s, 3), slope, 1.0)
        for s, slope in (("A", 0.4), ("B", 0.6))
    ]
    day = dict(zip([(0, s) for s in "ABCDEF"], [10.0, 20, 30, 40, 50, 60], strict=True))
    tables = [_scores("lightgbm_rank:ret", day)]
    tables += [_scores(f"ridge:ret:{s}", OWN[s]) for s in "AB"]
    _, predictions = routed(PLAN, pd.DataFrame(models), join_predictions(tables))
    # the own models share a slope: (1 / 0.25 + 0.4 + 0.6) / (4 + 1 + 1)
    own = 5 / 6
    cells = _cells(predictions, "lightgbm_rank+ridge:ret:routed")
    expected = {
        "A": -10 * own,
        "B": (8 * own + 0.1 * (20 - 35)) / 2,
        "D": 0.5,
        "E": 1.5,
        "F": 2.5,
    }
    expected["C"] = float(np.median(list(expected.values())))
    for symbol, score in expected.items():
        assert cells[0, symbol] == pytest.approx(score, rel=1e-6), symbol


@pytest.mark.parametrize(
    ("pooled_slope", "own_slope", "expected"),
    [
        # nothing measured: (20 + 8) / 2 and 40 as they are
        (np.nan, np.nan, (14.0, 40.0)),
        # pooled at a tenth of its distance from 35, own as it is
        (0.1, np.nan, ((0.1 * (20 - 35) + 8) / 2, 0.5)),
        # pooled as it is but centred, own halved
        (np.nan, 0.5, ((20 - 35 + 4) / 2, 5.0)),
        (0.1, 0.5, ((-1.5 + 4) / 2, 0.5)),
    ],
)
def test_one_measured_side_brings_both_into_one_unit(
    pooled_slope: float, own_slope: float, expected: tuple[float, float]
) -> None:
    """Cell B is the mean of a pooled 20 and an own 8, cell D a pooled 40."""
    models = [
        _measured(_model("gru:ret", "cross_sectional"), pooled_slope),
        _measured(_model("ridge:ret:B", "symbol_specific", "B", 3), own_slope),
    ]
    day = dict(zip([(0, s) for s in "ABCDEF"], [10.0, 20, 30, 40, 50, 60], strict=True))
    tables = [_scores("gru:ret", day), _scores("ridge:ret:B", OWN["B"])]
    _, predictions = routed(PLAN, pd.DataFrame(models), join_predictions(tables))
    cells = _cells(predictions, "gru+ridge:ret:routed")
    assert (cells[0, "B"], cells[0, "D"]) == pytest.approx(expected, rel=1e-6)


def test_each_window_has_its_own_unit() -> None:
    first, second = (
        _measured(_model("lightgbm:ret", "cross_sectional"), slope)
        | {"window": n + 1, "predict_first": DAYS[n], "predict_last": DAYS[n]}
        for n, slope in ((0, 1.0), (1, 2.0))
    )
    own = _measured(_model("ridge:ret:A", "symbol_specific", "A", 3), 1.0)
    tables = [_scores("lightgbm:ret", POOLED), _scores("ridge:ret:A", OWN["A"])]
    models, predictions = routed(
        PLAN, pd.DataFrame([first, second, own]), join_predictions(tables)
    )
    assert list(models["model_id"]) == ["lightgbm+ridge:ret:routed"]
    assert models.iloc[0]["n_rows"] == 23
    cells = _cells(predictions, "lightgbm+ridge:ret:routed")
    assert cells[0, "D"] == pytest.approx(4 - 3.5)
    assert cells[1, "A"] == pytest.approx(-20)
    plain = pd.DataFrame({"timestamp": DAYS, "symbol": "D", "score": [1.0, 1.0]})
    scaled = in_payoff_units(plain, pd.DataFrame([first, second]), pooled=False)
    np.testing.assert_allclose(scaled["score"], [1, 2], rtol=1e-6)


def test_slopes_times_normal_scores_within_the_bar() -> None:
    entry = {"mean": 0.5, "slopes": {"A": -1.0, "B": 2.0}, "tau": 0.3}
    plan = {"targets": {"ret": {**PLAN["targets"]["ret"], "partial_pooling": entry}}}
    models = pd.DataFrame(
        [_model("gru:ret:seed2", "cross_sectional") | {"network": "gru", "seed": 2}]
    )
    table = join_predictions([_scores("gru:ret:seed2", POOLED)])
    made, predictions = sloped(plan, models, table)
    row = made.iloc[0]
    assert (row["model_id"], row["route"], row["network"], row["seed"]) == (
        "gru:ret:partial_pooling:seed2",
        "partial_pooling",
        "gru",
        2,
    )
    cells = _cells(predictions, row["model_id"])
    scores = dict(zip("ABCDEF", norm.ppf((np.arange(1, 7) - 0.5) / 6), strict=True))
    slopes = {**dict.fromkeys("CDEF", 0.5), "A": -1.0, "B": 2.0}
    for symbol, score in scores.items():
        assert cells[0, symbol] == pytest.approx(slopes[symbol] * score, rel=1e-5)
    assert cells[1, "A"] == pytest.approx(-norm.ppf(0.25), rel=1e-5)
    assert cells[1, "C"] == pytest.approx(0.5 * norm.ppf(0.75), rel=1e-5)
    made, predictions = sloped(PLAN, models, table)
    assert len(made) == len(predictions) == 0


@given(slope=st.floats(-3, 3), error=st.floats(0.01, 10), n=st.integers(1, 5))
def test_a_slope_lies_between_what_was_measured_and_one(
    slope: float, error: float, n: int
) -> None:
    got = shrunk_slope([slope] * n, [error] * n)
    low, high = sorted((max(slope, 0.0), 1.0))
    assert low - 1e-9 <= got <= high + 1e-9
    weight = n / error**2
    assert got == pytest.approx(max(0, (4 + weight * slope) / (4 + weight)), abs=1e-9)
    assert shrunk_slope([np.nan], [np.nan]) == 1.0


def test_a_slope_is_found_where_the_payoff_has_one(samples: Any) -> None:
    rows, _, _ = samples("regression")
    random = np.random.default_rng(0)
    level = random.normal(size=rows.panel.n_bars)[rows.bars]
    score = rows.target / 0.4 + random.normal(size=len(rows)) * 0.5
    found = calibrate(score + 100 * level, rows, pooled=True)
    y = rows.target.astype(float)
    frame = pd.DataFrame({"bar": rows.bars, "x": score, "y": y})
    x = (frame["x"] - frame.groupby("bar")["x"].transform("mean")).to_numpy()
    assert found.slope == pytest.approx(x @ y / (x @ x), rel=1e-6)
    parts = (
        frame.assign(part=x * (y - found.slope * x))
        .groupby(rows.bars // 10)["part"]
        .sum()
    )
    n = len(parts)
    by_hand = np.sqrt((parts**2).sum() * n / (n - 1)) / (x @ x)
    assert found.error == pytest.approx(by_hand, rel=1e-6)
    one = rows.take(rows.symbols == 3)
    alone = calibrate(one.target * 2, one, pooled=False)
    assert alone == UNKNOWN or alone.slope == pytest.approx(0.5)
    assert calibrate(np.zeros(len(rows)), rows, pooled=True) is UNKNOWN
    assert calibrate(np.full(len(rows), np.nan), rows, pooled=True) is UNKNOWN


def test_nothing_routed_adds_nothing() -> None:
    models = pd.DataFrame([_model("lightgbm:ret", "cross_sectional")])
    table = join_predictions([_scores("lightgbm:ret", POOLED)])
    new_models, new_predictions = routed(PLAN, models, table)
    assert len(new_models) == len(new_predictions) == 0
    assert list(new_predictions.columns) == list(table.columns)


def test_own_scores_stand_alone_where_no_pooled_model_is() -> None:
    """Pooled scores are float32 and all missing, own ones are float64."""
    own = pd.Series([0.1, np.nan, 0.3], dtype="float64")
    pooled = pd.Series([np.nan] * 3, dtype="float32")
    route = pd.Series(["SYMBOL_SPECIFIC"] * 3)
    score = stitch(pooled, own, route, pd.Series([0, 0, 0]))
    np.testing.assert_allclose(score, [0.1, 0.2, 0.3], rtol=1e-6)
