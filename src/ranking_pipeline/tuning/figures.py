"""Figures of tuning: Optuna's own, of the study with the surest gain."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ranking_pipeline.tuning.journal import require_optuna
from ranking_pipeline.tuning.verdicts import Verdict

Figure = dict[str, Any]
_ENOUGH = 2  # complete trials that an importance needs


def figures(verdicts: Sequence[Verdict]) -> tuple[Figure, Figure, Figure]:
    """Give history, parameter importances and slices as Plotly's JSON.

    The history has every study; the other two show the one whose gain is the surest,
    which their titles name.
    """
    visualization = require_optuna().visualization
    shown = min(verdicts, key=lambda verdict: verdict.p)
    study, name = shown.result.study, shown.result.plan.name
    history = visualization.plot_optimization_history(
        [verdict.result.study for verdict in verdicts], target_name="skill"
    )
    for trace, verdict in zip(history.data[::2], verdicts, strict=False):
        trace.name = verdict.result.plan.name
    slices = visualization.plot_slice(study, target_name="skill")
    return (
        _json(history, "Skill of the trials"),
        _json(_importances(shown), f"Importance of the parameters: {name}"),
        _json(slices, f"Skill by parameter: {name}"),
    )


def _importances(shown: Verdict) -> Any:
    """Importances; an empty figure where all trials are equally good or too few."""
    import plotly.graph_objects as go

    study = shown.result.study
    complete = [t.value for t in shown.result.trials if t.state == "complete"]
    if len(complete) < _ENOUGH or len(set(complete)) < _ENOUGH:
        return go.Figure()
    return require_optuna().visualization.plot_param_importances(study)


def _json(figure: Any, title: str) -> Figure:
    figure.update_layout(title=title)
    drawn: Figure = json.loads(figure.to_json())
    return drawn
