"""The registry, its names, the manifest, the table, the parameters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from ranking_pipeline.errors import UserError
from ranking_pipeline.features import (
    FeaturesConfig,
    compute_features,
    factor_names,
    feature_manifest,
    feature_table,
    selected_factors,
)
from ranking_pipeline.features.registry import FACTORS, factor
from ranking_pipeline.features.selection import expand_names
from ranking_pipeline.panel import OHLCV, Panel


def _config(**changes: Any) -> FeaturesConfig:
    return FeaturesConfig(
        **{"factors": ["all"], "exclude": [], "max_lookback_bars": 250, **changes}
    )


def test_the_library_is_large_and_documented() -> None:
    manifest = feature_manifest()
    assert len(manifest) >= 45
    assert manifest.name.is_unique
    assert manifest.formula.is_unique
    assert (manifest[["group", "formula", "source"]] != "").all(axis=None)
    assert manifest.lookback_bars.between(0, 250).all()
    used = {field for inputs in manifest.inputs for field in inputs.split(",")}
    assert used == set(OHLCV)
    assert not manifest.formula.str.contains("[{}]").any()


def test_the_planted_parts_of_the_simulated_market_are_there() -> None:
    assert {"gap_1", "volume_surprise_20", "calm_momentum_20"} <= set(factor_names())


def test_a_cross_sectional_factor_inherits_from_its_bases() -> None:
    manifest = feature_manifest().set_index("name")
    assert manifest.lookback_bars["calm_momentum_20"] == 20
    assert manifest.lookback_bars["rank_gap_1"] == 1
    assert manifest.inputs["sector_gap_1"] == "open,close"


def test_unknown_names_are_refused_with_the_nearest_ones() -> None:
    with pytest.raises(UserError, match=r"'vol_21'.*vol_20"):
        feature_manifest(["ret_1", "vol_21"])
    with pytest.raises(UserError, match="ret_1 is listed twice"):
        feature_manifest(["ret_1", "ret_1"])


def test_parameters_select_factors() -> None:
    assert selected_factors(_config()) == factor_names()
    assert selected_factors(_config(factors=["vol_20", "ret_1"])) == ["vol_20", "ret_1"]
    short = selected_factors(_config(max_lookback_bars=5, exclude=["ret_5"]))
    assert "ret_2" in short
    assert not {"ret_5", "ret_10", "rank_ret_20"} & set(short)
    with pytest.raises(UserError, match="shortest look-back asked for is 20"):
        selected_factors(_config(factors=["ret_20", "ret_60"], max_lookback_bars=5))
    with pytest.raises(UserError, match="unknown factor 'rett'"):
        selected_factors(_config(exclude=["rett"]))
    with pytest.raises(ValidationError):
        _config(unknown=1)


def test_adding_a_factor_takes_one_decorated_function(
    holed_panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("typical_2", "typical_3"):
        monkeypatch.setitem(FACTORS, name, None)  # restored after the test
        del FACTORS[name]

    @factor(
        "typical_{w}",
        group="own",
        formula="typical price [t-{w}]",
        windows=(2, 3),
        inputs=("close",),
        source="own",
    )
    def typical(bars: Any, w: int) -> Any:
        return np.roll(bars.close, w, axis=1)

    values = compute_features(holed_panel, ["typical_2", "typical_3"])
    assert feature_manifest(["typical_3"]).lookback_bars.tolist() == [3]
    assert np.isnan(values[:, :2]).all()
    np.testing.assert_array_equal(values[5, 3:, 1], holed_panel.field("close")[5, :-3])
    with pytest.raises(ValueError, match="registered twice"):
        factor("typical_{w}", group="", formula="", windows=(2,), inputs=(), source="")(
            typical
        )


def test_the_table_has_the_rows_of_the_panel(holed_panel: Panel) -> None:
    names = ["ret_1", "rank_ret_1"]
    values = compute_features(holed_panel, names)
    table = feature_table(holed_panel, values, names)
    bars, symbols = holed_panel.rows()
    assert list(table.columns) == ["timestamp", "symbol", *names]
    assert str(table.timestamp.dtype) == "datetime64[ns, UTC]"
    assert str(table.symbol.dtype) == "str"
    assert (table[names].dtypes == "float32").all()
    keys = table.set_index(["timestamp", "symbol"]).index
    assert keys.is_monotonic_increasing
    assert keys.is_unique
    assert len(table) == holed_panel.tradable.sum()
    row = 321
    assert table.timestamp[row] == pd.Timestamp(
        holed_panel.timestamps[bars[row]], tz="UTC"
    )
    assert table.symbol[row] == holed_panel.symbols[symbols[row]]
    assert table.ret_1[row] == values[symbols[row], bars[row], 0]


def test_cells_outside_the_cross_section_have_no_rank(holed_panel: Panel) -> None:
    values = compute_features(holed_panel, ["ret_1", "rank_ret_1"])
    quiet = ~holed_panel.tradable & holed_panel.present
    assert quiet.any()
    assert np.isfinite(values[quiet, 0]).all()
    assert np.isnan(values[quiet, 1]).all()


@pytest.mark.realdata
def test_runs_on_real_bars(
    real_data: Path, sectors_giver: Callable[..., Panel]
) -> None:
    bars = pd.read_parquet(real_data / "sp500_daily_2015_2020.parquet")
    bars = bars[(bars[["open", "high", "low", "close"]] > 0).all(axis=1)]
    bars = bars[bars.symbol.isin(bars.symbol.unique()[::5])]
    wide = bars.pivot(index="symbol", columns="timestamp", values=list(OHLCV))
    wide = wide.sort_index(axis=0)
    values = np.stack([wide[name].to_numpy(np.float32) for name in OHLCV], axis=-1)
    bare = Panel(
        tuple(wide.index),
        wide["close"].columns.to_numpy("datetime64[ns]"),
        OHLCV,
        values,
        np.isfinite(values[:, :, 3]) & (values[:, :, 4] > 0),
    )
    known = pd.read_csv(real_data / "sp500_sectors_2020.csv", keep_default_na=False)
    sectors = known.set_index("symbol").sector.reindex(bare.symbols).fillna("")
    panel = sectors_giver(bare, list(sectors))
    names = expand_names(["core", "alpha158"])
    features = compute_features(panel, names)
    assert not np.isinf(features).any()
    for i, lookback in enumerate(feature_manifest(names).lookback_bars):
        late = features[:, lookback:, i][panel.tradable[:, lookback:]]
        assert np.isfinite(late).mean() > 0.93, names[i]
