"""Symbol importance: single symbols against all of them."""

from dataclasses import replace

import numpy as np
import pandas as pd
from planted_world import LENIENT, RIDGE, selection_config, signal_world

from ranking_pipeline.selection.feature_choice import select_features
from ranking_pipeline.selection.importance import Importances
from ranking_pipeline.selection.symbol_importance import (
    COMPARISON_COLUMNS,
    chosen_symbols,
    compare_importance,
    symbol_importances,
)

SYMBOLS = {"max_symbols": 4, "min_rows": 200, "relative_threshold": 0.1}


def test_labels_by_hand() -> None:
    pooled = Importances(
        ("core", "own", "pooled", "weak"),
        {
            ("x", "native"): np.array([0.6, 0.0, 0.4, 0.0]),
            ("y", "native"): np.array([0.8, 0.1, 0.1, 0.0]),
            ("x", "shap"): np.array([0.0, 0.0, 0.0, 1.0]),  # another scale
            ("z", "native"): np.full(4, np.nan),
        },
    )
    alone = pd.DataFrame(
        {
            "symbol": ["A"] * 4 + ["B"] * 4,
            "feature": list(pooled.features) * 2,
            "importance": [0.5, 0.5, 0.0, 0.0, 0.7, 0.2, 0.06, 0.04],
        }
    )
    table = compare_importance("t", pooled, alone, 0.1).set_index("feature")
    np.testing.assert_allclose(table["pooled"], [0.7, 0.05, 0.25, 0.0])
    np.testing.assert_allclose(table["per_symbol"], [0.6, 0.35, 0.03, 0.02])
    # the limits are 0.07 and 0.06
    expected = ["CORE", "SYMBOL_SPECIFIC", "CS_SPECIFIC", "WEAK"]
    assert table["label"].to_list() == expected
    assert (table["n_symbols"] == 2).all()
    nothing = compare_importance("t", pooled, alone.iloc[:0], 0.1)
    assert list(nothing.columns) == list(COMPARISON_COLUMNS)


def test_symbols_are_evenly_spread_above_the_cap() -> None:
    config = selection_config(symbol_importance={**SYMBOLS, "max_symbols": 3})
    symbols = np.repeat(np.arange(9), 200)
    assert list(chosen_symbols(symbols, config)) == [1, 4, 7]
    short = symbols[:-1]  # the last symbol has one row too few
    everyone = selection_config(symbol_importance={**SYMBOLS, "max_symbols": 99})
    assert list(chosen_symbols(short, everyone)) == list(range(8))
    nobody = selection_config(symbol_importance={**SYMBOLS, "max_symbols": 0})
    assert not len(chosen_symbols(symbols, nobody))


def test_a_signal_of_few_symbols_is_found_in_them_alone() -> None:
    loading = np.zeros(40)
    loading[[5, 15]] = 1.0
    world = signal_world(0.6, loading=loading)
    config = selection_config(
        model_families=("ridge",), family_parameters=RIDGE, leakage=LENIENT,
        symbol_importance={**SYMBOLS, "max_symbols": 40},
    )  # fmt: skip
    problem = world.data().problem("fwd_ret_1d", config)
    names = problem.samples.feature_names
    table = symbol_importances(problem, names, config)
    first = table[table["rank"] == 1].groupby("symbol")["feature"].first()
    assert first["S005"] == first["S015"] == "signal"
    assert len(first) == 40
    assert (first == "signal").sum() < 25
    sums = table.groupby(["symbol", "family"])["importance"].sum()
    np.testing.assert_allclose(sums, 1.0)
    empty = replace(problem, samples=problem.samples)
    none = selection_config(symbol_importance={**SYMBOLS, "min_rows": 10_000})
    assert symbol_importances(empty, names, none).empty


def test_comparison_is_part_of_the_selection() -> None:
    config = selection_config(symbol_importance=SYMBOLS)
    result = select_features(signal_world(0.1).data(), ["fwd_ret_1d"], config)
    assert result.symbol_importance["symbol"].nunique() == 4
    assert set(result.symbol_importance["family"]) == {"lightgbm", "random_forest"}
    labels = result.comparison.set_index("feature")["label"]
    assert labels["signal"] in {"CORE", "CS_SPECIFIC"}
