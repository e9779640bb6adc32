"""The project as Kedro sees it: everything declared, typed, light and ordered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.framework.project import configure_project, pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.pipeline import Pipeline

from ranking_pipeline.pipeline_registry import register_pipelines
from ranking_pipeline.sections import SECTIONS

STAGES = [
    "data_preparation",
    "target_ranking",
    "feature_selection",
    "routing",
    "model_training",
    "cs_ranking",
    "evaluation",
    "backtest",
]
LAYERS = (
    "raw",
    "intermediate",
    "primary",
    "feature",
    "model_input",
    "models",
    "model_output",
    "reporting",
)


@pytest.fixture(scope="module")
def registered() -> dict[str, Pipeline]:
    return register_pipelines()


@pytest.fixture(scope="module")
def catalog_entries(project: Path) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for path in (project / "conf" / "base").glob("catalog*.yml"):
        entries.update(yaml.safe_load(path.read_text("utf-8")))
    return entries


def test_every_promised_pipeline_exists(registered: dict[str, Pipeline]) -> None:
    months = {"candidate_selection", "promotion", "prediction", "portfolio_backtest"}
    names = {"__default__", *STAGES, "plan", "train", "cs_full", "raw_sequence"}
    names |= months | {"sector_portfolio"}
    assert names <= set(registered)


def test_the_default_graph_stays_small(registered: dict[str, Pipeline]) -> None:
    assert len(registered["__default__"].nodes) <= 40
    assert all(
        len(node.name.split(".")[-1]) <= 30 for node in registered["__default__"].nodes
    )


def test_every_dataset_is_declared_in_its_layer(
    registered: dict[str, Pipeline], catalog_entries: dict[str, Any]
) -> None:
    used = {
        name
        for pipeline in registered.values()
        for name in pipeline.datasets()
        if not name.startswith("params:")
    }
    assert used == set(catalog_entries)
    for name, entry in catalog_entries.items():
        assert entry["metadata"]["kedro-viz"]["layer"] in LAYERS, name
        memory = entry["type"] == "kedro.io.MemoryDataset"
        assert memory or entry["type"].startswith("ranking_pipeline.datasets."), name


def test_no_layer_feeds_an_earlier_one(
    registered: dict[str, Pipeline], catalog_entries: dict[str, Any]
) -> None:
    """One step back and kedro-viz shows no layers at all."""
    place = {
        name: LAYERS.index(entry["metadata"]["kedro-viz"]["layer"])
        for name, entry in catalog_entries.items()
    }
    for node in {node for pipeline in registered.values() for node in pipeline.nodes}:
        before = [place[name] for name in node.inputs if name in place]
        after = [place[name] for name in node.outputs if name in place]
        assert max(before, default=0) <= min(after, default=len(LAYERS)), node.name


def test_every_parameter_input_is_a_typed_section(
    registered: dict[str, Pipeline],
) -> None:
    sections = {
        name.removeprefix("params:").split(".")[0]
        for pipeline in registered.values()
        for name in pipeline.datasets()
        if name.startswith("params:")
    }
    assert sections == set(SECTIONS)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_from_stored_inputs_alone(
    registered: dict[str, Pipeline], catalog_entries: dict[str, Any], stage: str
) -> None:
    inputs = {n for n in registered[stage].inputs() if not n.startswith("params:")}
    assert inputs <= set(catalog_entries)
    if stage != "data_preparation":
        assert "raw_bars" not in inputs


def test_stages_left_out_leave_their_sections_out(
    registered: dict[str, Pipeline],
) -> None:
    inputs = registered["cs_full"].inputs()
    stored = {n for n in inputs if not n.startswith("params:")}
    assert stored == {"raw_bars", "tuning_trials_so_far"}


LIGHT = """
import sys
from ranking_pipeline.pipeline_registry import register_pipelines
import ranking_pipeline.settings
register_pipelines()
heavy = {"torch", "sklearn", "lightgbm", "xgboost", "scipy.stats", "matplotlib",
         "plotly", "pandera", "optuna", "pyarrow.parquet", "skops", "loky",
         "arch", "skfolio"}
print(sorted(heavy & set(sys.modules)))
"""


def test_the_registry_imports_no_heavy_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "env",
    ["local", "smoke", "intraday", "portfolio", "cs_ranking", "gpu", "prod", "dask"],
)
def test_each_overlay_is_valid_and_has_a_data_root_of_its_own(
    project: Path, env: str
) -> None:
    bootstrap_project(project)
    configure_project("ranking_pipeline")
    assert "__default__" in pipelines
    with KedroSession.create(project_path=project, env=env) as session:
        context = session.load_context()
        parameters = context.config_loader["parameters"]
        root = context.config_loader["globals"]["data_root"]
        catalog = context.config_loader["catalog"]
    assert set(parameters) == set(SECTIONS)
    assert root == ("data" if env == "local" else f"data/{env}")
    assert catalog["bars"]["filepath"].startswith(root)
    assert parameters["jobs"]["store"].startswith(root)


def test_a_variable_of_the_shell_moves_all_outputs(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANKING_PIPELINE_OUTPUT", "elsewhere")
    bootstrap_project(project)
    configure_project("ranking_pipeline")
    with KedroSession.create(project_path=project, env="smoke") as session:
        catalog = session.load_context().config_loader["catalog"]
    places = [entry["filepath"] for entry in catalog.values() if "filepath" in entry]
    assert places
    assert all(place.startswith("elsewhere/") for place in places)


def test_no_file_has_more_than_650_lines(project: Path) -> None:
    rooms = ("src", "tests", "benchmarks")
    files = [path for room in rooms for path in (project / room).rglob("*.py")]
    assert len(files) > 500
    long = {
        str(path.relative_to(project)): n_lines
        for path in files
        if (n_lines := len(path.read_text("utf-8").splitlines())) > 650
    }
    assert not long
