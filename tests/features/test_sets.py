"""Named sets, and names of coarser bars."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ranking_pipeline.errors import UserError
from ranking_pipeline.features import (
    ALPHA158,
    SETS,
    FeaturesConfig,
    factor_names,
    feature_manifest,
    selected_factors,
)
from ranking_pipeline.features.factors import FACTORS
from ranking_pipeline.features.selection import expand_names, find_factors
from ranking_pipeline.features.sets import ALPHA158_WINDOWS


def _config(**changes: Any) -> FeaturesConfig:
    return FeaturesConfig(
        **{"factors": ["all"], "exclude": [], "max_lookback_bars": 250, **changes}
    )


def test_alpha158_names_a_factor_for_each_of_158_columns() -> None:
    assert len(ALPHA158) == len(set(ALPHA158.values())) == 158
    assert set(ALPHA158.values()) <= set(FACTORS)
    assert list(ALPHA158)[:2] == ["KMID", "KLEN"]
    kinds = {column.rstrip("0123456789") for column in list(ALPHA158)[13:]}
    assert len(kinds) == 29
    for kind in kinds:
        for width in ALPHA158_WINDOWS:
            lookback = FACTORS[ALPHA158[f"{kind}{width}"]].lookback_bars
            assert lookback in (width - 1, width)


def test_sizes_of_the_sets() -> None:
    assert len(factor_names("core")) == 99
    assert len(factor_names("alpha158")) == 158
    assert len(factor_names("daily25")) == 25
    assert factor_names("all") == list(FACTORS) == factor_names()
    for name in ("session", "cross_section"):
        assert factor_names(name)
    declared = {name for factor in FACTORS.values() for name in factor.sets}
    assert declared <= set(SETS)


def test_the_core_reads_bars_of_any_length() -> None:
    manifest = feature_manifest(factor_names("core"))
    assert (manifest.window == "bars").all()
    assert {"gap_1", "volume_surprise_20", "calm_momentum_20"} <= set(manifest.name)


def test_sets_and_factors_mix_and_overlap() -> None:
    names = selected_factors(_config(factors=["vol_20", "alpha158", "core", "ret_1"]))
    assert names[:2] == ["vol_20", "body_1"]
    assert len(names) == len(set(names))
    assert set(names) == {*factor_names("alpha158"), *factor_names("core")}


def test_a_set_is_left_out() -> None:
    names = selected_factors(_config(exclude=["alpha158", "session", "vol_20"]))
    left = {*factor_names("alpha158"), *factor_names("session"), "vol_20"}
    assert set(names) == set(factor_names()) - left


def test_a_factor_of_coarser_bars() -> None:
    (coarse,) = find_factors(["ret_5@1h"])
    assert (coarse.name, coarse.interval, coarse.lookback_bars) == ("ret_5@1h", "1h", 5)
    assert coarse.formula.endswith(", of bars of 1h")
    manifest = feature_manifest(["ret_5", "ret_5@1h"])
    assert manifest.interval.tolist() == ["", "1h"]
    assert manifest.sets.tolist() == ["core", "core"]
    assert expand_names(["daily25@1d"])[0] == factor_names("daily25")[0] + "@1d"
    with pytest.raises(UserError, match="is not the length of a bar"):
        find_factors(["ret_5@5"])


def test_the_manifest_says_what_the_lookback_counts_from() -> None:
    manifest = feature_manifest().set_index("name")
    assert manifest.window["ret_5"] == "bars"
    assert set(manifest.window[factor_names("daily25")]) == {"history"}
    assert set(manifest.window[factor_names("session")]) == {"session"}
    assert manifest.sets["up_share_5"] == "core,alpha158"
    assert manifest.sets["up_share_30"] == "alpha158"
    assert (manifest.lookback_sessions >= 0).all()


def test_unknown_sets_are_refused() -> None:
    with pytest.raises(UserError, match="no set 'alpha360'; there are core, alpha158"):
        factor_names("alpha360")
    with pytest.raises(UserError, match="nearest known names are alpha158"):
        selected_factors(_config(factors=["alpha15"]))
    with pytest.raises(ValidationError, match="'ret_1' is listed twice"):
        _config(factors=["ret_1", "core", "ret_1"])
    with pytest.raises(UserError, match="ret_1 is listed twice"):
        find_factors(["ret_1", "ret_5", "ret_1"])
