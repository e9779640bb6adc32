"""Search spaces: what is refused, and that the shipped ones fit their families."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.tuning.config import TuningConfig
from ranking_pipeline.tuning.space import Dimension, check_space, distributions

READ: TypeAdapter[Any] = TypeAdapter(Dimension)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"kind": "float", "low": 2.0, "high": 1.0}, "must be below high"),
        ({"kind": "float", "low": 0.0, "high": 1.0, "log": True}, "above 0 with log"),
        ({"kind": "float", "low": 0.1, "high": 1.0, "step": 0.2}, "whole number"),
        (
            {"kind": "float", "low": 0.1, "high": 1.0, "log": True, "step": 0.1},
            "exclude each other",
        ),
        ({"kind": "float", "low": 0.0, "high": float("inf")}, "must be finite"),
        ({"kind": "int", "low": 1, "high": 8, "step": 2}, "whole number"),
        ({"kind": "int", "low": 1, "high": 8, "log": True, "step": 7}, "exclude"),
        ({"kind": "int", "low": 1.5, "high": 8}, "valid integer"),
        ({"kind": "categorical", "choices": [3]}, "at least 2"),
        ({"kind": "categorical", "choices": [3, 3]}, "twice"),
        ({"kind": "uniform", "low": 1, "high": 2}, "uniform"),
    ],
)
def test_a_wrong_dimension_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        READ.validate_python(wrong)


def test_a_range_holds_its_grid_and_nothing_else() -> None:
    tenths = READ.validate_python(
        {"kind": "float", "low": 0.0, "high": 0.6, "step": 0.1}
    )
    assert [tenths.holds(x) for x in (0.0, 0.3, 0.6, 0.35, 0.7, True)] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
    odd = READ.validate_python({"kind": "int", "low": 3, "high": 7, "step": 2})
    assert [odd.holds(x) for x in (3, 5, 4, 9, 5.0)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    nothing = READ.validate_python({"kind": "categorical", "choices": [None, 8]})
    assert nothing.holds(None)
    assert not nothing.holds(4)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_every_draw_lies_in_its_space(seed: int) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {
        "a": READ.validate_python({"kind": "float", "low": 0.1, "high": 0.7, "step": 0.1}),
        "b": READ.validate_python({"kind": "int", "low": 4, "high": 100, "log": True}),
        "c": READ.validate_python({"kind": "float", "low": 1e-4, "high": 1, "log": True}),
        "d": READ.validate_python({"kind": "categorical", "choices": ["x", None]}),
    }  # fmt: skip
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    drawn = study.ask(distributions(space)).params
    assert all(space[name].holds(value) for name, value in drawn.items())


def test_all_faults_of_a_space_are_told_at_once(
    parameters: dict[str, dict[str, Any]],
) -> None:
    space = {
        "expected_r2": READ.validate_python({"kind": "float", "low": 0.5, "high": 0.9}),
        "clip_sigma": READ.validate_python({"kind": "float", "low": -1.0, "high": 6.0}),
        "depth": READ.validate_python({"kind": "int", "low": 1, "high": 3}),
    }
    with pytest.raises(UserError) as caught:
        check_space("ridge", space, parameters["ridge"])
    told = str(caught.value)
    assert "expected_r2 does not hold 0.05" in told
    assert "clip_sigma = -1.0 is refused" in told
    assert "depth is no parameter; there are clip_sigma, expected_r2" in told


def test_a_family_without_a_space_is_refused(
    config: Callable[..., TuningConfig],
) -> None:
    with pytest.raises(ValidationError, match="no space for random_forest"):
        config(families=["ridge", "rf"])
    with pytest.raises(ValidationError, match="Did you mean 'ridge'"):
        config(families=["rige"])


def test_every_family_has_a_space_that_fits_it(base_parameters: dict[str, Any]) -> None:
    shipped = TuningConfig.model_validate({**base_parameters["tuning"], "seed": 7})
    blocks = base_parameters["model_training"]["parameters"]
    assert set(shipped.spaces) >= set(blocks)
    for family, space in shipped.spaces.items():
        assert registry.canonical(family) == family
        check_space(family, space, blocks[family])
