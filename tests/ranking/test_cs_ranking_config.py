"""The typed parameters of the ranking network, and what they become."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from ranking_pipeline.learning.losses import loss_parameters, make_loss
from ranking_pipeline.pipelines.cs_ranking.config import CsRankingConfig

VALUES: dict[str, Any] = {
    "enabled": True,
    "targets": ["fwd_ret_1d"],
    "input": {"sequence_length": 64, "normalization": "log_return"},
    "target": {
        "type": "cs_percentile",
        "residualize": True,
        "winsorize": [0.01, 0.99],
        "vol_lookback_bars": 20,
        "beta_lookback_bars": 60,
        "vol_method": "realized",
    },
    "loss": {
        "type": "pairwise_logistic",
        "top_pct": 0.2,
        "bottom_pct": 0.2,
        "max_pairs_per_timestamp": 100,
        "margin": 0.0,
        "temperature": 1.0,
    },
    "batching": {
        "timestamps_per_batch": 32,
        "symbols_per_timestamp": None,
        "min_symbols_per_timestamp": 50,
        "shuffle_timestamps": True,
        "timestamps_per_epoch": None,
    },
    "network": {"name": "lstm", "hidden": 64, "layers": 1, "dropout": 0.0},
    "training": {
        "epochs": 50,
        "learning_rate": 0.001,
        "weight_decay": 0.0,
        "patience": 10,
        "min_delta": 0.0001,
        "gradient_clip": 1.0,
        "seeds": [0, 1],
        "device": "auto",
        "threads": 1,
    },
    "metrics": {"primary": "spearman_ic", "top_pct": 0.1, "bottom_pct": 0.1},
}


def config(path: str = "", value: Any = None) -> CsRankingConfig:
    values = copy.deepcopy(VALUES)
    if path:
        *way, key = path.split(".")
        place = values
        for step in way:
            place = place[step]
        place[key] = value
    return CsRankingConfig.model_validate(values)


def test_older_names_become_the_canonical_ones() -> None:
    read = config()
    assert read.loss.type == "pairwise"
    assert read.input.normalization == "log_returns"
    assert read.target.residualize == "mean"
    assert config("target.residualize", False).target.residualize == "none"
    assert config("loss.type", "mse").loss.type == "pointwise"


def test_every_key_reaches_its_place() -> None:
    spec, target = config().ranker_spec(), config().target_spec()
    assert spec.sequence_length == 64
    assert spec.network.name == "lstm"
    assert spec.loss_parameters == {
        "top_pct": 0.2,
        "bottom_pct": 0.2,
        "margin": 0.0,
        "max_pairs": 100,
    }
    assert spec.seeds == (0, 1)
    assert spec.min_symbols == target.min_symbols == 50
    assert (spec.loop.epochs, spec.loop.patience) == (50, 10)
    assert spec.loop.timestamps_per_batch == 32
    assert target.winsorize == (0.01, 0.99)


@pytest.mark.parametrize(
    "name", ["pairwise", "pairwise_hinge", "listwise", "pointwise", "huber", "ic"]
)
def test_every_loss_gets_parameters_that_it_takes(name: str) -> None:
    spec = config("loss.type", name).ranker_spec()
    assert set(spec.loss_parameters) <= set(loss_parameters(name))
    make_loss(spec.loss, **spec.loss_parameters)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("loss.type", "lambdarank"),
        ("loss.top_pct", 0.6),
        ("loss.max_pairs", 10),
        ("target.winsorize", [0.9, 0.1]),
        ("network.hidden", 129),
        ("training.seeds", []),
        ("targets", []),
        ("training.device", "gpu"),
        ("extra", 1),
    ],
)
def test_wrong_values_and_unknown_keys_are_refused(path: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        config(path, value)
