"""Nodes of routing."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ranking_pipeline.config import split_list
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.routing.config import RoutingConfig
from ranking_pipeline.storage import PanelHandle, TableHandle


def collect_candidates(
    panel: PanelHandle,
    features: TableHandle,
    feature_manifest: pd.DataFrame,
    labels: TableHandle,
    target_manifest: pd.DataFrame,
    splits: dict[str, Any],
    selected_targets: dict[str, Any],
    selected_features: dict[str, list[str]],
    leakage_report: pd.DataFrame,
    feature_stability: pd.DataFrame,
    config: RoutingConfig,
    jobs: JobsConfig,
) -> pd.DataFrame:
    from ranking_pipeline.routing.candidates import collect_candidates as collect
    from ranking_pipeline.selection.fan_out import StoredData, over_workers

    stored = StoredData(
        panel, features, feature_manifest, labels, target_manifest, splits
    )
    return collect(
        stored.load(),
        selected_targets["targets"],
        selected_features,
        leakage_report,
        feature_stability,
        config,
        over_workers(stored, jobs, "routes compared"),
    )


def decide_routes(
    candidates: pd.DataFrame, selected_targets: dict[str, Any], config: RoutingConfig
) -> dict[str, Any]:
    from ranking_pipeline.routing.router import make_routing_plan

    return make_routing_plan(candidates, selected_targets, config)


def plan_training(
    routing_plan: dict[str, Any],
    candidates: pd.DataFrame,
    selected_features: dict[str, list[str]],
    config: RoutingConfig,
    families: Any,
    symbol_families: Any,
) -> dict[str, Any]:
    """The plan; a list of families may be the command line's ``'A;B'``."""
    from ranking_pipeline.routing.plan import Families, build_training_plan

    return build_training_plan(
        routing_plan,
        candidates,
        selected_features,
        config,
        Families(tuple(split_list(families)), tuple(split_list(symbol_families))),
    )


def export_plan(
    plan: dict[str, Any], routing_plan: dict[str, Any]
) -> tuple[dict[str, Any], str, str, dict[str, Any]]:
    """The plan as YAML and Markdown, the routes as Markdown, and the views."""
    from ranking_pipeline.routing.plan import plan_views
    from ranking_pipeline.routing.render import plan_markdown, routing_markdown

    return plan, plan_markdown(plan), routing_markdown(routing_plan), plan_views(plan)


def summarise_routing(
    candidates: pd.DataFrame, routing_plan: dict[str, Any], plan: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report's section on the routes, and its figure."""
    from ranking_pipeline.evaluation.stage_sections import routing_section

    section = routing_section(candidates, routing_plan, plan)
    return section.to_dict(), section.first_figure()
