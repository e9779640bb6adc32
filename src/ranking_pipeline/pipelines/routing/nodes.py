"""Nodes of routing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from ranking_pipeline.cache.config import CacheConfig
from ranking_pipeline.config import split_list
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.routing.config import RoutingConfig
from ranking_pipeline.selection.config import FeatureSelectionConfig
from ranking_pipeline.storage import PanelHandle, TableHandle

if TYPE_CHECKING:
    from ranking_pipeline.routing.setting import Setting

Document = dict[str, Any]


def collect_candidates(
    panel: PanelHandle,
    features: TableHandle,
    feature_manifest: pd.DataFrame,
    labels: TableHandle,
    target_manifest: pd.DataFrame,
    splits: Document,
    selected_targets: Document,
    selected_features: dict[str, list[str]],
    leakage_report: pd.DataFrame,
    feature_stability: pd.DataFrame,
    config: RoutingConfig,
    jobs: JobsConfig,
    cache: CacheConfig,
) -> tuple[pd.DataFrame, list[Document]]:
    """The evidence on every target for which features were found, and its costs."""
    from ranking_pipeline.routing.candidates import collect_candidates as collect
    from ranking_pipeline.selection.fan_out import LazyData, StoredData, over_workers

    stored = StoredData(
        panel, features, feature_manifest, labels, target_manifest, splits
    )
    each = over_workers(stored, jobs, "routes compared", cache)
    candidates = collect(
        LazyData(stored),
        [name for name in selected_targets["targets"] if name in selected_features],
        selected_features,
        leakage_report,
        feature_stability,
        config,
        each,
    )
    return candidates, [each.costs.to_dict()]


def decide_routes(
    candidates: pd.DataFrame,
    selected_targets: Document,
    selected_features: dict[str, list[str]],
    config: RoutingConfig,
) -> Document:
    from ranking_pipeline.routing.router import make_routing_plan

    names = [name for name in selected_targets["targets"] if name in selected_features]
    return make_routing_plan(candidates, {**selected_targets, "targets": names}, config)


def plan_training(
    routing_plan: Document,
    candidates: pd.DataFrame,
    selected_features: dict[str, list[str]],
    config: RoutingConfig,
    panel: PanelHandle,
    splits: Document,
    target_manifest: pd.DataFrame,
    *training: Any,
) -> Document:
    from ranking_pipeline.routing.plan import build_training_plan

    setting = _setting(panel, splits, target_manifest, *training)
    return build_training_plan(
        routing_plan, candidates, selected_features, config, setting
    )


def plan_everything(
    panel: PanelHandle,
    features: TableHandle,
    feature_manifest: pd.DataFrame,
    labels: TableHandle,
    target_manifest: pd.DataFrame,
    splits: Document,
    config: FeatureSelectionConfig,
    *training: Any,
) -> tuple[Document, Document]:
    """A plan without evidence, and the routes that it needs: none."""
    from ranking_pipeline.routing.unplanned import ALL_MODELS, plan_without_evidence
    from ranking_pipeline.selection.fan_out import StoredData

    stored = StoredData(
        panel, features, feature_manifest, labels, target_manifest, splits
    )
    setting = _setting(panel, splits, target_manifest, *training)
    return plan_without_evidence(stored.load(), config, setting), ALL_MODELS


def export_routes(routing_plan: Document) -> tuple[Document, str]:
    """The routes as YAML, and as a text that explains every decision."""
    from ranking_pipeline.routing.render import routing_markdown

    return routing_plan, routing_markdown(routing_plan)


def export_plan(plan: Document) -> tuple[Document, str, dict[str, str]]:
    """The plan as YAML and Markdown, and its views, one file for each."""
    from ranking_pipeline.routing.plan_views import view_files
    from ranking_pipeline.routing.render_plan import plan_markdown

    return plan, plan_markdown(plan), view_files(plan)


def summarise_routing(
    candidates: pd.DataFrame, routing_plan: Document, plan: Document
) -> tuple[Document, Document]:
    """The report's section on the routes, and its figure."""
    from ranking_pipeline.evaluation.stage_sections import routing_section

    section = routing_section(candidates, routing_plan, plan)
    return section.to_dict(), section.first_figure()


def _setting(
    panel: PanelHandle, splits: Document, target_manifest: pd.DataFrame, *training: Any
) -> Setting:
    """Where the plan will be carried out.

    The parameters come one by one, so that those of the training may change after the
    plan; a list may be the command line's ``'A;B'``.
    """
    from ranking_pipeline.routing.setting import Setting
    from ranking_pipeline.training.config import PlannedTraining

    values = dict(zip(PlannedTraining.model_fields, training, strict=True))
    lists = ("families", "symbol_families", "seeds")
    values |= {name: split_list(values[name]) for name in lists}
    planned = PlannedTraining.model_validate(values)
    return Setting.of(panel.read(), splits, target_manifest, planned)
