"""RecipeKeeper: lets the audit build this run's catalog again in another folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog

from ranking_pipeline.pipelines.audit.reruns import ProjectRecipe
from ranking_pipeline.sections import SECTIONS


class RecipeKeeper:
    """Put the catalog's own configuration into the catalog, as ``project_recipe``."""

    def __init__(self) -> None:
        self._root = ""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Learn where this environment keeps its data."""
        root = Path(context.config_loader["globals"]["data_root"])
        self._root = (Path(context.project_path) / root).as_posix()

    @hook_impl
    def after_catalog_created(
        self, catalog: DataCatalog, conf_catalog: dict[str, Any]
    ) -> None:
        """Keep the resolved entries and the typed parameters.

        Kedro types only the sections that the requested pipeline reads.
        """
        parameters = {
            name: catalog[name].load()
            for name in catalog.keys()
            if name.startswith("params:")
        }
        for section, model in SECTIONS.items():
            name = f"params:{section}"
            if isinstance(parameters.get(name), Mapping):
                parameters[name] = model.model_validate(parameters[name])
        recipe = ProjectRecipe(conf_catalog, parameters, self._root)
        catalog["project_recipe"].save(recipe)
