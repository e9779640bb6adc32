"""Every command of the page on commands and flags runs as it is printed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from kedro.framework.cli.utils import _split_params, find_run_command
from kedro.framework.project import configure_project
from omegaconf import OmegaConf

from ranking_pipeline.hooks.parameters import ParameterCheck
from tests.running import PROJECT, Place, write_bars

PAGES = ("commands.md", "choosing.md", "models.md", "portfolio.md")
MONTHLY = "--env=portfolio"
REFERRED = re.compile(r"(run\.seed|data\.source)=")
COMMAND = re.compile(r"(?:[A-Z_]+=\S+ )?kedro run[^`\n]*")


def printed() -> list[str]:
    """All commands of the pages, each once."""
    texts = [(PROJECT / "docs" / page).read_text("utf-8") for page in PAGES]
    found = [COMMAND.findall(text) for text in texts]
    return list(dict.fromkeys(line.strip() for lines in found for line in lines))


def test_the_pages_have_commands() -> None:
    assert len(printed()) >= 25


Sections = Callable[[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Sections:
    """What an overlay holds, by its name and the parameters that others refer to."""

    @cache
    def read(env: str, referred: str) -> dict[str, Any]:
        place = Place.make(tmp_path_factory.mktemp("shipped"), env)
        with place.session(_split_params(None, None, referred)) as session:
            loader = session.load_context().config_loader
            return {name: loader[name] for name in ("parameters", "catalog")}

    return read


@pytest.mark.parametrize("command", [c for c in printed() if "--params" in c])
def test_the_parameters_of_a_printed_command_are_valid(
    command: str, shipped: Sections
) -> None:
    """As the check at the start of a run gets them: it refuses what no section knows.

    Reading an overlay takes a second, so commands share it and are merged into it here.
    """
    words = shlex.split(command)
    text = next(w.partition("=")[2] for w in words if w.startswith("--params="))
    text = text.replace("bars.parquet", str(PROJECT))
    env = "portfolio" if MONTHLY in command else "smoke"
    read = shipped(env, ",".join(p for p in text.split(",") if REFERRED.match(p)))
    given = _split_params(None, None, text)
    merged = OmegaConf.merge(read["parameters"], given)
    loader = Read(read, parameters=OmegaConf.to_container(merged))
    context: Any = SimpleNamespace(config_loader=loader, env=env)
    ParameterCheck().after_context_created(context)


class Read(dict[str, Any]):
    """A configuration that has been read, in place of what reads it."""

    conf_source = "conf"


@pytest.fixture(scope="module")
def monthly(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place with monthly portfolios, and a second model beside the one they are of."""
    place = Place.make(tmp_path_factory.mktemp("monthly"), "portfolio")
    place.run("sector_portfolio")
    second = {"model_id": "ridge:fwd_ret_20d", "alias": "staging"}
    place.run("promotion", params={"promotion": second})
    return place


@pytest.mark.slow
@pytest.mark.parametrize("command", printed())
def test_a_printed_command_runs(
    command: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the smoke market, which stands in for the default one."""
    whole = request.getfixturevalue("monthly" if MONTHLY in command else "finished")
    copied = whole.copy(tmp_path)
    monkeypatch.setenv("RANKING_PIPELINE_OUTPUT", str(copied.data))
    words = shlex.split(_filled_in(command, copied))
    while "=" in words[0]:
        monkeypatch.setenv(*words.pop(0).split("=", 1))
    assert words[:2] == ["kedro", "run"]
    arguments = words[2:]
    if not any(word.startswith(("--env", "--config")) for word in arguments):
        arguments.append(f"--env={copied.env}")
    monkeypatch.chdir(PROJECT)
    configure_project("ranking_pipeline")
    run = find_run_command("ranking_pipeline")
    done = CliRunner().invoke(run, [*arguments, f"--conf-source={copied.conf}"])
    assert done.exit_code == 0, done.output
    assert copied.manifest()["status"] == "finished"


def test_params_beside_those_of_a_file_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kedro would drop the file's, and run on other bars than it names."""
    place, file = Place.make(tmp_path), tmp_path / "run.yml"
    file.write_text("run: {env: smoke, params: {data: {source: bars.parquet}}}")
    monkeypatch.chdir(PROJECT)
    configure_project("ranking_pipeline")
    run = find_run_command("ranking_pipeline")
    words = [f"--config={file}", f"--conf-source={place.conf}", "--params=run.seed=8"]
    done = CliRunner().invoke(run, words)
    assert done.exit_code == 1
    assert "--params would replace all parameters of the --config file" in done.output


def _filled_in(command: str, place: Place) -> str:
    """Put files and versions of this place where the page has stand-ins."""
    bars = place.folder / "bars.parquet"
    file = place.folder / "run.yml"
    file.write_text(
        yaml.safe_dump({"run": {"env": place.env, "pipelines": "target_ranking"}}),
        encoding="utf-8",
    )
    if "bars.parquet" in command:
        write_bars(place, bars)
    plans = place.data / "05_model_input" / "training_plan.json"
    version = max(path.name for path in plans.iterdir())
    given = {"bars.parquet": bars, "FILE": file, "VERSION": version, "OUT": "out"}
    for stand_in, real in given.items():
        command = re.sub(rf"(?<==|:){re.escape(stand_in)}\b", str(real), command)
    # the overlay's engine on the smoke market; tests/jobs has clusters of others
    command = command.replace(" --params=jobs.address=cluster.json", "")
    return command.replace("--env=dask", "--params=jobs.engine=dask")
