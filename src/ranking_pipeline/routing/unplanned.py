"""Unplanned: a plan that trains every target with every family, without evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ranking_pipeline.errors import UserError
from ranking_pipeline.routing.plan import CROSS_SECTION, assemble_plan, families_of
from ranking_pipeline.routing.setting import Setting
from ranking_pipeline.selection.config import FeatureSelectionConfig
from ranking_pipeline.selection.leakage import screen_features, usable_features
from ranking_pipeline.selection.training_data import TrainingData

STATUS = "unplanned"
NOTE = (
    "This plan was made without ranking and routing: "
    "every target is trained with every enabled family over all symbols, whether or not "
    "it is predictable. Nothing here was chosen on evidence."
)
ALL_MODELS = {"status": STATUS, "mode": "cross_sectional", "targets": {}}


def plan_without_evidence(
    data: TrainingData, config: FeatureSelectionConfig, setting: Setting
) -> dict[str, Any]:
    """Plan every target of the market.

    Parameters
    ----------
    data : TrainingData
    config : FeatureSelectionConfig
        Its leak screen says which features may be used.
    setting : Setting

    Returns
    -------
    dict
        See :func:`plan_everything`.
    """
    targets = data.candidate_targets
    views = {target: data.problem(target, config).view for target in targets}
    return plan_everything(screened_features(data, targets, config), views, setting)


def plan_everything(
    features: Mapping[str, Sequence[str]], views: Mapping[str, str], setting: Setting
) -> dict[str, Any]:
    """Plan a pooled job per target.

    Parameters
    ----------
    features : mapping of target to feature names
        See :func:`screened_features`.
    views : mapping of target to view
        Targets that are not named are measured in cross-sections.
    setting : Setting

    Returns
    -------
    dict
        A valid training plan with the status ``unplanned``, which goes the same way as
        any other; routes for it are :data:`ALL_MODELS`.

    Raises
    ------
    UserError
        Without a target.
    """
    if not features:
        raise UserError(
            "There is no target to train; name some in data.labels.targets."
        )
    train = setting.axis.splits.train
    share = (train.last_bar - train.first_bar + 1) / len(setting.axis.timestamps)
    wanted = [
        {
            "target": target,
            "symbol": None,
            "view": views.get(target, CROSS_SECTION),
            "route": "CROSS_SECTIONAL",
            "features": tuple(names),
            "n_rows": round(setting.market.rows * share),
            "reason": f"asked for without a plan; {len(names)} features pass the screen",
        }
        for target, names in features.items()
    ]
    metadata = {
        "note": NOTE,
        "targets_requested": list(features),
        **families_of(setting.training),
    }
    return assemble_plan(wanted, setting, status=STATUS, metadata=metadata)


def screened_features(
    data: TrainingData, targets: Sequence[str], config: FeatureSelectionConfig
) -> dict[str, list[str]]:
    """Features that pass the leak screen of each target, or the manual ones of those.

    Leaks stay out also where nothing is selected.

    Parameters
    ----------
    data : TrainingData
    targets : sequence of str
    config : FeatureSelectionConfig

    Raises
    ------
    UserError
        When a target is left without a feature.
    """
    chosen = {}
    for target in targets:
        problem = data.problem(target, config)
        report = screen_features(problem, data.label_columns, config.leakage)
        usable = list(usable_features(report, config.leakage.allow_suspect))
        if not config.auto:
            usable = [name for name in config.manual_features if name in usable]
        if not usable:
            raise UserError(
                f"{target}: no feature passes the leak screen"
                + ("" if config.auto else " among feature_selection.manual_features")
            )
        chosen[target] = usable
    return chosen
