"""What a promotion takes: the row, the models behind it, and nothing of the test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.model_row import model_row
from ranking_pipeline.pipelines.promotion.choice import measures, parts_of
from ranking_pipeline.pipelines.promotion.doubts import doubts, replaces_better
from ranking_pipeline.pipelines.promotion.runs import training_run
from ranking_pipeline.storage import write_artefact

T = "fwd_ret_1d"


def _model(model_id: str, path: str, **more: Any) -> dict[str, Any]:
    family = model_id.partition(":")[0]
    return {
        "model_id": model_id, "target": T, "family": family, "symbol": "", "seed": 7,
        "route": "cross_sectional", "network": "", "loss": "", "window": 0,
        "predict_first": pd.Timestamp("2020-01-02", tz="UTC"),
        "calibration_slope": np.nan, "calibration_error": 0.5, "path": path,
        "parts": "", "weights": "", **more,
    }  # fmt: skip


def _key(letter: str) -> str:
    return f"{letter * 2}/{letter * 64}"


@pytest.fixture
def models() -> pd.DataFrame:
    own = {"route": "symbol_specific"}
    return pd.DataFrame(
        [
            _model(f"ridge:{T}", _key("a")),
            _model(f"mlp:{T}", _key("b"), window=1),
            _model(f"mlp:{T}", _key("c"), window=2),
            _model(f"ridge:{T}:AA", _key("d"), symbol="AA", **own),
            _model(f"ridge:{T}:BB", _key("e"), symbol="BB", **own),
            _model(
                f"mlp+ridge:{T}:routed",
                "",
                route="routed",
                parts=json.dumps([f"ridge:{T}:AA", f"ridge:{T}:BB", f"mlp:{T}"]),
            ),
            _model(
                f"stacking:{T}",
                "",
                route="ensemble",
                weights="[0.25, 0.75]",
                parts=json.dumps([f"ridge:{T}", f"tree:{T}"]),
            ),
            _model(
                f"tree:{T}", _key("g"), parts=json.dumps([f"tree:{T}", "tree:other"])
            ),
            _model("tree:other", _key("h"), target="other"),
            _model("ridge:other", _key("f"), target="other"),
        ]
    )


@pytest.fixture
def leaderboard() -> pd.DataFrame:
    rows = [
        (f"mlp+ridge:{T}:routed", T, "model", 0.09),
        ("ridge per symbol", T, "model", 0.06),
        (f"ridge:{T}", T, "model", 0.05),
        (f"mlp:{T}", T, "model", 0.04),
        (f"stacking:{T}", T, "model", 0.035),
        (f"tcn+ic:{T}:cs_ranking", T, "model", 0.03),
        ("momentum", T, "baseline", 0.02),
        ("ridge per symbol", "other", "model", 0.01),
    ]
    board = pd.DataFrame(rows, columns=["model_id", "target", "kind", "validation_ic"])
    board["family"] = board["model_id"].str.split(r"[: ]").str[0]
    board["validation_t"], board["validation_net_bps"] = 2.0, np.nan
    board["rank_ic"] = -1.0  # of the test
    board["chosen"] = [True, *[False] * (len(board) - 1)]
    return board


def _parts(leaderboard: Any, models: Any, model_id: str | None) -> tuple[list, bool]:
    row = model_row(leaderboard, "promotion", model_id, T if model_id else None)
    return parts_of(row, models)


def test_one_fitted_model(leaderboard: Any, models: Any) -> None:
    parts, derived = _parts(leaderboard, models, f"ridge:{T}")
    assert not derived
    assert parts == [
        {
            "model_id": f"ridge:{T}", "key": "a" * 64, "target": T, "family": "ridge",
            "seed": 7, "route": "cross_sectional", "symbol": "", "window": 0,
            "predict_first": "2020-01-02T00:00:00+00:00",
            "calibration_slope": None, "calibration_error": 0.5,
        }
    ]  # fmt: skip
    json.dumps(parts, allow_nan=False)


def test_a_model_that_is_refitted_gives_its_newest_refit(
    leaderboard: Any, models: Any
) -> None:
    parts, _ = _parts(leaderboard, models, f"mlp:{T}")
    assert [(part["key"], part["window"]) for part in parts] == [("c" * 64, 2)]


def test_a_row_of_models_of_single_symbols_gives_all(
    leaderboard: Any, models: Any
) -> None:
    parts, derived = _parts(leaderboard, models, "ridge per symbol")
    assert not derived
    assert [part["symbol"] for part in parts] == ["AA", "BB"]


def test_a_row_of_other_rows_gives_exactly_its_parts(
    leaderboard: Any, models: Any
) -> None:
    parts, derived = _parts(leaderboard, models, None)
    assert derived
    assert {part["key"][0] for part in parts} == {"c", "d", "e"}
    with pytest.raises(UserError, match="does not tell the parts"):
        _parts(leaderboard, models.drop(columns="parts"), None)


def test_an_ensemble_gives_its_members_weights_and_all_that_these_need(
    leaderboard: Any, models: Any
) -> None:
    parts, derived = _parts(leaderboard, models, f"stacking:{T}")
    assert not derived
    found = {part["model_id"]: part.get("weight") for part in parts}
    assert found == {f"ridge:{T}": 0.25, f"tree:{T}": 0.75, "tree:other": None}
    assert [part["target"] for part in parts] == [T, T, "other"]


def test_only_validation_is_looked_at(leaderboard: Any) -> None:
    row = model_row(leaderboard.drop(columns="rank_ic"), "promotion", None, None)
    found = measures(row)
    assert found == {"rank_ic": 0.09, "ic_t": 2.0, "net_bps_per_bar": None}


def test_rows_that_cannot_be_promoted_are_told(leaderboard: Any, models: Any) -> None:
    with pytest.raises(UserError, match=r"several targets.*fwd_ret_1d, other"):
        model_row(leaderboard, "promotion", "ridge per symbol", None)
    with pytest.raises(UserError, match=r"'momentum' is a baseline .*: mlp\+ridge:fwd"):
        model_row(leaderboard, "promotion", "momentum", None)
    near = rf"'rigde:{T}' is not on the leaderboard \(did you mean 'ridge:{T}'\?\)"
    with pytest.raises(UserError, match=near):
        model_row(leaderboard, "promotion", f"rigde:{T}", None)
    with pytest.raises(UserError, match="'zzzzzzz' is not on the leaderboard\\. By"):
        model_row(leaderboard, "promotion", "zzzzzzz", None)
    with pytest.raises(UserError, match="chosen on validation of other is not"):
        model_row(leaderboard, "promotion", None, "other")
    row = model_row(leaderboard, "promotion", f"tcn+ic:{T}:cs_ranking", None)
    with pytest.raises(UserError, match=r"models of the latest training does not: run"):
        parts_of(row, models)


def test_the_run_that_trained_is_found_by_what_it_predicted(tmp_path: Path) -> None:
    def record(run: str, node: str, sha256: str, table: str = "predictions") -> None:
        value = {
            "run_id": run,
            "node_seconds": {node: 1.0},
            "datasets": {table: {"sha256": sha256}},
        }
        (tmp_path / f"{run}.json").write_text(json.dumps(value))

    record("1", "model_training.collect_models", "old")
    record("2", "model_training.collect_models", "new")
    record("3", "evaluation.evaluate", "new")
    record("4", "cs_ranking.score_universe", "new", "cs_predictions")
    none = tmp_path / "absent"
    assert training_run(tmp_path, none, "predictions", "new") == "2"
    assert training_run(tmp_path, none, "cs_predictions", "new") == "4"
    assert training_run(tmp_path, none, "predictions", "other") is None
    assert training_run(none, none, "predictions", "new") is None


def test_a_run_that_is_still_at_work_is_named_by_its_table_of_models(
    tmp_path: Path,
) -> None:
    runs, tables = tmp_path / "runs", tmp_path / "tables"
    runs.mkdir()
    for version in ("2020", "2021"):
        place = tables / "models.parquet" / version / "models.parquet"
        write_artefact(place, Path.touch)
    (tables / "models.parquet" / "2022").mkdir()  # of a run that was killed
    assert training_run(runs, tables, "predictions", "new") == "2021"
    assert training_run(runs, tables, "cs_predictions", "new") is None
    record = {"run_id": "2021", "node_seconds": {}, "datasets": {}}
    (runs / "2021.json").write_text(json.dumps(record))
    assert training_run(runs, tables, "predictions", "new") is None


def test_a_row_that_is_worth_less_than_a_baseline_is_told(leaderboard: Any) -> None:
    assert (
        list(doubts(leaderboard, model_row(leaderboard, "promotion", None, None))) == []
    )
    weak = leaderboard.assign(validation_ic=leaderboard["validation_ic"] - 0.04)
    weak.loc[weak["kind"] == "baseline", "validation_ic"] = 0.02
    told = list(doubts(weak, model_row(weak, "promotion", f"mlp:{T}", None)))
    assert len(told) == 2
    assert "rank IC of +0.0000 on validation: it foretells nothing" in told[0]
    assert "the baseline momentum, which needs no fit, +0.0200" in told[1]
    unknown = dict(
        model_row(weak, "promotion", "ridge per symbol", T), validation_ic=np.nan
    )
    assert len(list(doubts(weak, unknown))) == 2


def test_a_better_model_whose_place_is_taken_is_told(leaderboard: Any) -> None:
    row = dict(model_row(leaderboard, "promotion", None, None), validation_ic=0.01)
    meant = {
        "model_id": "gan", "target": T, "validation": {"rank_ic": 0.03},
        "provenance": {"data": {"panel": "ab"}},
    }  # fmt: skip
    (told,) = replaces_better(meant, row, "ab")
    assert told.endswith(
        "+0.0100 on validation takes the place of gan, which had +0.0300."
    )
    (told,) = replaces_better(meant, row, "cd")
    assert told.endswith("which had +0.0300 on other bars.")
    for other in (
        None,
        meant | {"target": "x"},
        meant | {"validation": {"rank_ic": 0.0}},
    ):
        assert list(replaces_better(other, row, "ab")) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"node_seconds": 1}'])
def test_a_damaged_record_of_a_run_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "r1.json").write_text(text)
    with pytest.raises(UserError, match=r"r1\.json is damaged: no record of a run"):
        training_run(tmp_path, tmp_path, "predictions", "new")
