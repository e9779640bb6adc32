"""Project settings: soft-merged overlays, and the hooks."""

import os
from copy import deepcopy
from typing import Any

from kedro.config import OmegaConfigLoader

from ranking_pipeline.hooks import (
    InputCheck,
    InterruptKeeper,
    LineageRecorder,
    ParameterCheck,
    RecipeKeeper,
    RunLock,
    RunReporter,
)

# Hooks run last-in-first-out: parameters are checked first, the lock is freed last.
HOOKS = (
    RunLock(),
    RunReporter(),
    LineageRecorder(),
    InputCheck(),
    RecipeKeeper(),
    ParameterCheck(),
    InterruptKeeper(),
)

DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)

OUTPUT_VARIABLE = "RANKING_PIPELINE_OUTPUT"


def output_root(configured: str) -> str:
    """Folder of all outputs: the shell's variable where it is set, else as configured.

    Globals take no runtime parameters, and every path of the catalog begins here.
    """
    return os.path.expanduser(os.environ.get(OUTPUT_VARIABLE) or configured)


class OnceReadLoader(OmegaConfigLoader):
    """Read each kind of configuration once in a session, not once per reader.

    The parameters alone have four readers; parsing is most of what a short run takes.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._once: dict[str, dict[str, Any]] = {}
        super().__init__(*args, **kwargs)

    def __getitem__(self, key: str) -> dict[str, Any]:
        if key not in self._once:
            self._once[key] = super().__getitem__(key)
        return deepcopy(self._once[key])

    def __setitem__(self, key: str, value: Any) -> None:
        self._once.pop(key, None)
        super().__setitem__(key, value)


CONFIG_LOADER_CLASS = OnceReadLoader
CONFIG_LOADER_ARGS = {
    "custom_resolvers": {"output_root": output_root},
    "base_env": "base",
    "default_run_env": "local",
    # The data parameters are globals too: the catalog's path and the node's parameter
    # are one value.
    "config_patterns": {
        "globals": ["globals.yml", "parameters_data*", "parameters_run*"]
    },
    # An overlay holds only what differs.
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
}
