"""What rows and predictions must be before a family sees them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.models.base import PredictionOutput
from ranking_pipeline.models.samples import Samples

Samplers = Callable[[str], tuple[Samples, Samples, Samples]]


def test_the_most_probable_class_by_hand() -> None:
    three = np.array(
        [[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.4, 0.4, 0.2], [0.2, 0.6, 0.2]],
        dtype=np.float32,
    )
    three = np.vstack([three, np.full((1, 3), np.nan, dtype=np.float32)])
    found = PredictionOutput(np.zeros(5, np.float32), three).classes
    np.testing.assert_array_equal(found, [-1, 1, -1, 0, np.nan])
    two = np.array([[0.6, 0.4], [0.3, 0.7]], dtype=np.float32)
    found = PredictionOutput(np.zeros(2, np.float32), two).classes
    np.testing.assert_array_equal(found, [0, 1])
    assert PredictionOutput(np.zeros(2, np.float32)).classes is None


def test_every_array_of_a_wrong_shape_is_told(samples: Samplers) -> None:
    train, _, _ = samples("regression")
    n = len(train)
    with pytest.raises(UserError) as caught:
        replace(train, features=train.features[:, :2], target=train.target[1:])
    text = str(caught.value)
    assert f"features has shape ({n}, 2) and not ({n}, 4)" in text
    assert f"target has shape ({n - 1},) and not ({n},)" in text
    with pytest.raises(UserError, match="weight has shape"):
        replace(train, weight=np.ones(3, dtype=np.float32))
    with pytest.raises(UserError, match="auxiliary has shape"):
        replace(train, auxiliary=np.ones((n, 2), dtype=np.float32))


def test_rows_without_a_panel_and_places_on_it_do_not_exist() -> None:
    """Nobody can make up timestamps or symbols: there is no default for them."""
    needed = {f.name for f in fields(Samples)} - {
        "weight",
        "auxiliary",
        "auxiliary_names",
    }
    with pytest.raises(TypeError) as caught:
        Samples()  # type: ignore[call-arg]
    assert all(f"'{name}'" in str(caught.value) for name in needed)


def test_labels_that_are_no_class_are_told_with_the_other_faults(
    samples: Samplers, parameters: Any
) -> None:
    train, _, _ = samples("three_class")
    target = train.target.copy()
    target[:2] = [2, 0.5]
    target[2] = np.nan
    model = registry.create("ridge", parameters["ridge"], 1, 1)
    with pytest.raises(UserError) as caught:
        model.fit(replace(train, target=target), None)
    text = str(caught.value)
    assert "labels [0.5, 2.0] are none of the classes (-1, 0, 1)" in text
    assert "some targets are not known" in text


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 0.0])
def test_weights_that_are_none_are_refused(
    value: float, samples: Samplers, parameters: Any
) -> None:
    train, _, _ = samples("regression")
    weight = np.full(len(train), value, dtype=np.float32)
    model = registry.create("ridge", parameters["ridge"], 1, 1)
    with pytest.raises(UserError, match="weights are to be finite"):
        model.fit(replace(train, weight=weight), None)
