"""Score text: what scores foretell, and the legs that they contradict."""

from __future__ import annotations

from typing import Any

from ranking_pipeline.evaluation.score_text import against_the_legs, model_foretold


def selection(*scores: float, unit: str = "return") -> dict[str, Any]:
    """Two names long, the others short."""
    names = [f"N{place}" for place in range(len(scores))]
    legs = ["long" if place < 2 else "short" for place in range(len(scores))]
    return {
        "source": "model",
        "selected_stocks": names,
        "predicted_scores": [*scores],
        "legs": dict(zip(names, legs, strict=True)),
        "metadata": {"score_unit": unit, "target": "fwd_ret_1d"},
    }


def test_a_predicted_return_against_its_leg_is_told() -> None:
    told = against_the_legs(selection(-0.1, -0.2, -0.3, 0.1))
    assert told == (
        "2 of 2 longs have a negative predicted return, "
        "1 of 2 shorts has a positive predicted return."
    )
    assert against_the_legs(selection(0.1, 0.2, -0.3, -0.1)) == ""
    assert against_the_legs(selection(-0.1, -0.2, unit="normal_score")) == ""


def test_target_and_unit_of_the_scores_are_told() -> None:
    one = selection(0.1)
    told = " The ML score predicts fwd_ret_1d, as a return."
    assert model_foretold([one]) == told
    assert model_foretold([one | {"source": "algorithmic_only"}]) == ""
