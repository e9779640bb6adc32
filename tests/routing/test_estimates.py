"""Estimates: sums and schedules by hand, and the costs that were measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from plan_examples import training_config

from ranking_pipeline.models import registry
from ranking_pipeline.routing.estimates import Market, estimate, totals
from ranking_pipeline.routing.family_costs import Work, fit_megabytes, fit_seconds
from ranking_pipeline.routing.plan_schema import Estimate, Job

PARAMETERS = Path(__file__).parents[2] / "conf/base/parameters_model_training.yml"
# Seconds of one fit on one thread with the parameters of conf/base (rows, factors)
MEASURED = [
    ("ridge", 79_944, 99, 0.11),
    ("lightgbm", 79_944, 99, 1.92),
    ("lightgbm", 19_916, 99, 0.93),
    ("lightgbm", 79_944, 25, 1.13),
    ("xgboost", 79_944, 99, 2.38),
    ("xgboost", 19_916, 99, 0.96),
    ("xgboost", 79_944, 25, 1.13),
    ("random_forest", 79_944, 99, 1.99),
    ("random_forest", 79_944, 25, 0.90),
    ("mlp", 79_944, 99, 2.46),
    ("mlp", 79_944, 25, 1.17),
    ("lstm", 79_944, 99, 5.65),
    ("lstm", 19_916, 99, 2.13),
    ("gru", 19_916, 99, 2.90),
    ("alstm", 19_916, 99, 2.75),
    ("tcn", 19_916, 99, 1.79),
    ("mixer", 19_916, 99, 2.86),
    ("transformer", 19_916, 99, 2.10),
    ("stock_transformer", 99_681, 99, 94.6),
    ("cross_stock", 19_916, 99, 3.19),
    ("lightgbm_rank", 79_944, 99, 2.62),
    ("lightgbm_rank", 79_944, 25, 2.55),
    ("xgboost_rank", 79_944, 99, 5.66),
    ("xgboost_rank", 79_944, 25, 2.92),
    ("elastic_net", 100_000, 99, 0.5),
    ("logistic", 100_000, 99, 2.1),
    ("extra_trees", 100_000, 99, 1.0),
    ("hist_boosting", 100_000, 99, 2.9),
    ("catboost", 100_000, 99, 1.6),
    ("ngboost", 100_000, 99, 20.0),
    # with the first use of torch
    ("multi_task", 20_000, 99, 1.3),
    ("vae", 20_000, 99, 1.2),
    ("gan", 20_000, 99, 8.7),
    ("meta_learning", 20_000, 99, 1.8),
    ("tab_transformer", 20_000, 99, 10.9),
    ("cnn1d", 20_000, 99, 2.9),
    ("nhits", 20_000, 99, 1.4),
    ("patchtst", 20_000, 99, 6.0),
    ("tft", 20_000, 99, 8.5),
]


@pytest.fixture(scope="module")
def blocks() -> dict[str, Any]:
    text = PARAMETERS.read_text("utf-8").replace("${", "$ {")
    found: dict[str, Any] = yaml.safe_load(text)["model_training"]["parameters"]
    return found


@pytest.mark.parametrize(("family", "rows", "features", "seconds"), MEASURED)
def test_a_fit_takes_what_was_measured_to_a_factor_of_two(
    blocks: dict[str, Any], family: str, rows: int, features: int, seconds: float
) -> None:
    work = Work(rows, features, classes=False)
    assert seconds / 2 < fit_seconds(family, work, blocks[family]) < 2 * seconds


def test_every_family_has_a_cost_that_grows(blocks: dict[str, Any]) -> None:
    for family in registry.LISTINGS:
        small, large = Work(1_000, 10, False), Work(100_000, 50, False)
        block = blocks.get(family, {})
        assert 0 < fit_seconds(family, small, block) < fit_seconds(family, large, block)
        assert 0 < fit_megabytes(family, small) < fit_megabytes(family, large)


def test_an_estimate_by_hand() -> None:
    config = training_config(max_train_rows=50_000, seeds=(1, 2, 3))
    row = {"target": "t", "families": ["ridge"], "features": ["a"] * 20}
    market = Market(rows=1_000_000)
    got = estimate(row, 80_000, 4, market, config)
    assert got.rows == 50_000
    fit = 0.02 + 1.4e-10 * 50_000 * 400 + 0.1
    load = 1.9e-7 * 2e7 / 4
    assert got.seconds == pytest.approx(3 * fit + load, abs=0.011)
    assert got.seconds_by_family == {"ridge": got.seconds}
    table = 8 * 4 * 2e7 / 2**20
    assert got.megabytes == pytest.approx(230 + table + 60 + 4 * 1e6 / 2**20, abs=1)


def test_three_classes_take_more_trees() -> None:
    config = training_config()
    row = {"target": "t", "families": ["lightgbm"], "features": ["a"] * 20}
    one, three = (
        estimate(row, 80_000, 1, Market(1, frozenset(classes)), config).seconds
        for classes in ((), ("t",))
    )
    assert three == pytest.approx(2.5 * one, rel=0.1)


def _job(name: str, seconds: dict[str, float], megabytes: int) -> Job:
    cost = Estimate(
        rows=10,
        megabytes=megabytes,
        seconds=sum(seconds.values()),
        seconds_by_family=seconds,
    )
    times = dict.fromkeys(("train_start", "train_end", "predict_start", "predict_end"))
    return Job.model_validate(
        {
            "job_id": name, "target": "t", "symbol": None, "view": "cross_section",
            "route": "BOTH", "training_type": "cross_sectional",
            "families": tuple(seconds), "features": ("a",), "priority": 3,
            "n_rows": 10, "window": 0, **times, "estimate": cost, "reason": "",
        }
    )  # fmt: skip


def test_totals_by_hand() -> None:
    jobs = [
        _job("a", {"ridge": 60.0, "lightgbm": 120.0, "mlp": 30.0}, 500),
        _job("b", {"ridge": 60.0, "mlp": 90.0}, 700),
    ]
    got = totals(jobs)
    one, two = got.on_workers[:2]
    assert (got.rows, got.models) == (20, 5)
    assert (one.workers, one.minutes, one.peak_megabytes) == (1, 6.0, 700)
    # CPU: 60 | 120, then 60 on the first; GPU after it: 30 | 90; a worker starts in 3 s
    assert two.minutes == pytest.approx((120 + 90 + 3) / 60, abs=0.006)
    assert (two.workers, two.peak_megabytes) == (2, 1200)
    assert {on.minutes for on in totals([]).on_workers} == {0}


@given(
    seconds=st.lists(st.floats(0.1, 1000), min_size=1, max_size=20),
)
def test_workers_save_time_but_not_more_than_there_is(seconds: list[float]) -> None:
    jobs = [_job(str(k), {"ridge": s}, 100) for k, s in enumerate(seconds)]
    one, *more = totals(jobs).on_workers
    longest = max(seconds) / 60
    for several in more:
        assert several.minutes <= one.minutes + 0.07
        assert several.minutes >= one.minutes / several.workers - 0.01
        assert several.minutes >= longest - 0.01
