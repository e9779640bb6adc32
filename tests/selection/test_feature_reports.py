"""Feature reports: the three files of a target parse back."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
from planted_world import selection_config, signal_world

from ranking_pipeline.selection.feature_choice import FeatureSelection, select_features
from ranking_pipeline.selection.feature_reports import feature_reports, parse_selected

TARGET = "fwd_ret_1d"


def selection() -> FeatureSelection:
    world = signal_world(0.1)
    matrix = np.full((500, 40), np.nan)
    matrix[world.panel.rows()] = world.features["signal"]
    data = world.with_feature("twin, of it", np.exp(matrix)).data()
    config = selection_config(max_redundancy=0.95, require_min_models=1)
    return select_features(data, [TARGET], config)


def test_three_files_parse_back() -> None:
    made = selection()
    texts = feature_reports(made)
    assert sorted(texts) == [
        f"{TARGET}/feature_importance_multi_model.csv",
        f"{TARGET}/model_agreement_matrix.csv",
        f"{TARGET}/selected_features.txt",
    ]
    names = parse_selected(texts[f"{TARGET}/selected_features.txt"])
    assert names == made.selected[TARGET]
    table = pd.read_csv(
        io.StringIO(texts[f"{TARGET}/feature_importance_multi_model.csv"])
    )
    same = made.consensus.reset_index(drop=True)
    for column in (
        "feature",
        "consensus_score",
        "n_families_agree",
        "cluster",
        "reason",
    ):
        pd.testing.assert_series_equal(table[column], same[column], check_dtype=False)
    assert table.loc[table["selected"], "feature"].to_list() == names
    families = table[["lightgbm_score", "random_forest_score"]]
    np.testing.assert_allclose(
        families.mean(axis=1), table["consensus_score"], atol=1e-12
    )
    np.testing.assert_allclose(
        families.std(axis=1, ddof=0), table["std_across_families"], atol=1e-12
    )
    assert table["consensus_pct"].max() == 100


def test_agreement_matrix_counts_the_families() -> None:
    text = feature_reports(selection())[f"{TARGET}/model_agreement_matrix.csv"]
    matrix = pd.read_csv(io.StringIO(text))
    families = matrix[["lightgbm", "random_forest"]]
    assert families.isin([0, 1]).all(axis=None)
    assert (families.sum(axis=1) == matrix["n_families_agree"]).all()
    assert (families.sum() == 3).all()  # the own top three of each


def test_manual_choices_have_files_and_failed_targets_none() -> None:
    manual = selection_config(auto=False, manual_features=("signal",))
    made = select_features(signal_world(0.1).data(), [TARGET], manual)
    texts = feature_reports(made)
    assert texts[f"{TARGET}/selected_features.txt"] == "signal\n"
    matrix = pd.read_csv(io.StringIO(texts[f"{TARGET}/model_agreement_matrix.csv"]))
    assert list(matrix.columns) == ["feature", "n_families_agree"]
    assert feature_reports(replace(made, selected={})) == {}
