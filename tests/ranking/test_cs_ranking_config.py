"""The typed parameters of the ranking network, and what they become."""

from __future__ import annotations

import copy
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from ranking_pipeline.config import is_cs_ranking_enabled
from ranking_pipeline.learning.channels import NORMALIZATIONS
from ranking_pipeline.learning.loss_names import LOSS_ALIASES
from ranking_pipeline.learning.losses import (
    canonical_loss,
    loss_names,
    loss_parameters,
    make_loss,
)
from ranking_pipeline.learning.networks import network_names
from ranking_pipeline.pipelines.cs_ranking.config import (
    LOSS_KEYS,
    CsInputConfig,
    CsNetworkConfig,
    CsRankingConfig,
)

VALUES: dict[str, Any] = {
    "enabled": True,
    "targets": ["fwd_ret_1d"],
    "input": {
        "sequence_length": 64,
        "normalization": "log_return",
        "device_budget_mb": None,
    },
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
        "terms": None,
        "pairs": "tails",
        "weighting": "none",
        "top_pct": 0.2,
        "bottom_pct": 0.2,
        "max_pairs_per_timestamp": 100,
        "margin": 0.0,
        "temperature": 1.0,
        "delta": 1.0,
    },
    "batching": {
        "timestamps_per_batch": 32,
        "symbols_per_timestamp": None,
        "min_symbols_per_timestamp": 50,
        "shuffle_timestamps": True,
        "timestamps_per_epoch": None,
        "bars_per_block": None,
        "max_windows_per_pass": None,
    },
    "network": {
        "name": "lstm",
        "hidden": 64,
        "layers": 1,
        "dropout": 0.0,
        "heads": 4,
        "kernel_size": 3,
        "market_tokens": 8,
    },
    "training": {
        "epochs": 50,
        "learning_rate": 0.001,
        "schedule": "cosine",
        "warmup_share": 0.1,
        "weight_decay": 0.0,
        "patience": 10,
        "min_delta": 0.0001,
        "gradient_clip": 1.0,
        "seeds": [0, 1],
        "device": "auto",
        "threads": 1,
        "precision": "bfloat16",
        "compile": False,
        "cuda_graph": False,
        "processes": 1,
    },
    "metrics": {
        "primary": "spearman_ic",
        "top_pct": 0.1,
        "bottom_pct": 0.1,
        "cost_bps_per_side": 5.0,
    },
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
    for alias, name in LOSS_ALIASES.items():
        assert canonical_loss(alias) == name
        if name != "mixture":
            assert config("loss.type", alias).loss.type == name


def test_every_key_reaches_its_place() -> None:
    spec, target = config().ranker_spec(), config().target_spec()
    assert spec.sequence_length == 64
    assert spec.network.name == "lstm"
    assert spec.loss_parameters == {
        "top_pct": 0.2,
        "bottom_pct": 0.2,
        "margin": 0.0,
        "max_pairs": 100,
        "pairs": "tails",
        "weighting": "none",
    }
    assert spec.seeds == (0, 1)
    assert spec.min_symbols == target.min_symbols == 50
    assert (spec.loop.epochs, spec.loop.patience) == (50, 10)
    assert spec.loop.timestamps_per_batch == 32
    assert (spec.loop.schedule, spec.loop.warmup_share) == ("cosine", 0.1)
    assert (spec.loop.precision, spec.loop.compile) == ("bfloat16", False)
    assert target.winsorize == (0.01, 0.99)


def test_every_key_of_a_loss_or_network_exists_on_both_sides() -> None:
    """The names are written twice, since a light start imports no torch."""
    losses = set(loss_names()) - {"cross_entropy", "mixture"}
    assert set(LOSS_KEYS) == losses
    for name, keys in LOSS_KEYS.items():
        assert set(keys) == set(loss_parameters(name)) - {"seed"}, name
    networks = CsNetworkConfig.model_fields["name"].annotation
    assert set(get_args(networks)) == set(network_names())
    normalizations = CsInputConfig.model_fields["normalization"].annotation
    assert set(get_args(normalizations)) == set(NORMALIZATIONS)


@pytest.mark.parametrize("name", [*LOSS_KEYS])
def test_every_loss_gets_parameters_that_it_takes(name: str) -> None:
    spec = config("loss.type", name).ranker_spec()
    make_loss(spec.loss, **spec.loss_parameters)


def test_a_function_of_ones_own_is_a_loss_without_keys() -> None:
    spec = config("loss.type", "my_package.losses:steep").ranker_spec()
    assert (spec.loss, dict(spec.loss_parameters)) == ("my_package.losses:steep", {})


def test_a_mixture_hands_its_terms_what_they_take() -> None:
    values = copy.deepcopy(VALUES)
    values["loss"] |= {"type": "hybrid", "terms": {"pairwise": 0.8, "mse": 0.2}}
    spec = CsRankingConfig.model_validate(values).ranker_spec()
    assert spec.loss == "mixture"
    assert spec.loss_parameters["terms"] == {"pairwise": 0.8, "pointwise": 0.2}
    assert spec.loss_parameters["max_pairs"] == 100
    make_loss(spec.loss, **spec.loss_parameters)


@pytest.mark.parametrize("type_", ["pairwise", "mixture"])
def test_terms_belong_to_a_mixture_and_to_nothing_else(type_: str) -> None:
    values = copy.deepcopy(VALUES)
    terms = {"pairwise": 1.0} if type_ == "pairwise" else None
    values["loss"] |= {"type": type_, "terms": terms}
    with pytest.raises(ValidationError, match="has terms"):
        CsRankingConfig.model_validate(values)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("loss.type", "lambdaranck"),
        ("loss.type", "no.function:"),
        ("network.name", "rnn"),
        ("training.schedule", "linear"),
        ("training.precision", "float16"),
        ("loss.top_pct", 0.6),
        ("loss.max_pairs", 10),
        ("target.winsorize", [0.9, 0.1]),
        ("network.hidden", 129),
        ("training.seeds", []),
        ("training.seeds", [0, 0]),
        ("training.seeds", [-1]),
        ("training.compile", True),  # of an lstm
        ("targets", []),
        ("training.device", "gpu"),
        ("extra", 1),
    ],
)
def test_wrong_values_and_unknown_keys_are_refused(path: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        config(path, value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network": {"name": "tcn", "kernel_size": 2}}, "kernel_size"),
        (
            {
                "network": {"name": "mlp"},
                "training": {"compile": True, "cuda_graph": True},
            },
            "one of them is",
        ),
        (
            {"training": {"cuda_graph": True}, "batching": {"max_windows_per_pass": 9}},
            "max_windows_per_pass",
        ),
        ({"training": {"cuda_graph": True, "processes": 2}}, "processes"),
        ({"training": {"cuda_graph": True, "device": "cpu"}}, "device"),
    ],
)
def test_what_does_not_go_together_is_refused_before_any_work(
    changes: dict[str, dict[str, Any]], said: str
) -> None:
    values = copy.deepcopy(VALUES)
    for section, some in changes.items():
        values[section] |= some
    with pytest.raises(ValidationError, match=said):
        CsRankingConfig.model_validate(values)


def test_a_loss_named_twice_in_a_mixture_is_refused() -> None:
    values = copy.deepcopy(VALUES)
    values["loss"] |= {"type": "mixture", "terms": {"mse": 1.0, "pointwise": 2.0}}
    with pytest.raises(ValidationError, match="twice"):
        CsRankingConfig.model_validate(values)


def test_one_helper_tells_whether_the_network_is_on() -> None:
    for on in (True, False):
        values = copy.deepcopy(VALUES) | {"enabled": on}
        assert is_cs_ranking_enabled({"cs_ranking": values}) is on


def test_drawn_names_must_leave_winners_and_losers() -> None:
    values = copy.deepcopy(VALUES)
    values["batching"]["symbols_per_timestamp"] = 9
    with pytest.raises(ValidationError, match="take 10 names"):
        CsRankingConfig.model_validate(values)
    values["loss"]["pairs"] = "all"
    CsRankingConfig.model_validate(values)


def test_one_seed_needs_no_list() -> None:
    """The command line has no other way to write a list of one."""
    assert config("training.seeds", 3).training.seeds == [3]
    with pytest.raises(ValidationError):
        config("training.seeds", True)
