"""Applicability: a handful of symbols has no cross-section, and the run says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.model_sections import cs_ranking_section
from ranking_pipeline.panel import Panel
from ranking_pipeline.pipelines.cs_ranking import create_pipeline
from ranking_pipeline.pipelines.cs_ranking.applicability import (
    ranked_targets,
    require_cross_sections,
    why_not,
)
from ranking_pipeline.pipelines.cs_ranking.config import CsRankingConfig
from ranking_pipeline.pipelines.cs_ranking.nodes import build_cs_targets
from ranking_pipeline.pipelines.cs_ranking.tables import score_table, train_rankers
from ranking_pipeline.splits import make_splits
from ranking_pipeline.storage import PanelHandle, TableHandle, sha256_file, write_panel

BASE = Path(__file__).parents[2] / "conf" / "base" / "parameters_cs_ranking.yml"


def config(fewest: int, *, enabled: bool = True) -> CsRankingConfig:
    text = BASE.read_text("utf-8").split("raw_sequence:")[0]
    values: dict[str, Any] = yaml.safe_load(text.replace("${", "0 # ${"))["cs_ranking"]
    values |= {"enabled": enabled, "targets": ["fwd_ret_1d"]}
    values["batching"] |= {"min_symbols_per_timestamp": fewest}
    return CsRankingConfig.model_validate(values)


def test_as_many_symbols_as_a_bar_needs_suffice() -> None:
    assert why_not(20, config(20)) == ""
    assert ranked_targets(20, config(20)) == ["fwd_ret_1d"]
    assert "bars hold 19 symbols, and a bar of fewer than 20 " in why_not(
        19, config(20)
    )
    assert ranked_targets(19, config(20)) == []


def test_one_symbol_is_no_cross_section() -> None:
    assert "bars hold 1 symbol, and a bar of fewer than 2 " in why_not(1, config(2))


def test_a_network_that_is_wanted_is_refused_and_one_switched_off_is_not() -> None:
    with pytest.raises(UserError, match=r"min_symbols_per_timestamp.*=plan,train"):
        require_cross_sections(5, config(20))
    require_cross_sections(20, config(20))
    require_cross_sections(5, config(20, enabled=False))
    assert why_not(50, config(20, enabled=False)) == "cs_ranking.enabled is false"


def test_only_a_run_about_the_network_refuses() -> None:
    def builders(**named: bool) -> list[str]:
        nodes = create_pipeline(**named).nodes
        return [n.func.__name__ for n in nodes if "cs_targets" in n.outputs]

    assert builders() == ["build_cs_targets"]
    assert builders(required=True) == ["build_required_cs_targets"]


def test_few_symbols_give_empty_tables_and_a_plain_sentence(
    random_walk_panel: Panel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    panel = random_walk_panel.cut(slice(None), slice(0, 5))
    write_panel(panel, tmp_path / "panel")
    stamps = pd.DatetimeIndex(panel.timestamps).tz_localize("UTC")
    keys = {"timestamp": np.repeat(stamps, 5), "symbol": panel.symbols * panel.n_bars}
    pd.DataFrame(keys).to_parquet(tmp_path / "labels")
    labels = TableHandle(str(tmp_path / "labels"), sha256_file(tmp_path / "labels"))
    handle = PanelHandle(str(tmp_path / "panel"), sha256_file(tmp_path / "panel"))
    manifest = pd.DataFrame({"target": ["fwd_ret_1d"], "kind": ["forward_return"]})
    made = build_cs_targets(handle, labels, manifest, config(20))
    assert list(made) == ["timestamp", "symbol"]
    assert "no ranking network is trained: not applicable" in caplog.text
    splits = make_splits(panel.timestamps, 0.6, 0.2, 0).to_dict()
    weights, metas, history = train_rankers(
        panel, labels, labels, manifest, splits, "1d", config(20), jobs=None
    )
    assert (weights, metas, len(history)) == ({}, {}, 0)
    models, scores = score_table(panel, weights, metas, splits, config(20))
    assert (len(models), len(scores)) == (0, 0)
    lead = cs_ranking_section(history, metas, why_not(5, config(20))).lead
    assert lead.startswith("No ranking network was trained: not applicable, since the")
