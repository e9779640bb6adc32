"""ParameterCheck: everything that is wrong, at once, before any work."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self

import click
import pytest
from pydantic import BeforeValidator, model_validator
from tests.running import Place

from ranking_pipeline.config import Alias, Config
from ranking_pipeline.hooks.consistency import contradictions, unlabelled, untrainable
from ranking_pipeline.hooks.lineage import parameter_digest
from ranking_pipeline.hooks.parameters import parameter_errors
from ranking_pipeline.portfolio.month_text import month_text
from ranking_pipeline.sections import SECTIONS as ALL


class Inner(Config):
    n_bars: int
    share: float


class Outer(Config):
    inner: Inner
    name: str


SECTIONS: dict[str, type[Config]] = {"outer": Outer}
GOOD: dict[str, Any] = {"outer": {"inner": {"n_bars": 3, "share": 0.5}, "name": "x"}}


def broken(path: str, value: Any) -> dict[str, Any]:
    parameters = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    place = parameters
    for part in parents:
        place = place[part]
    place[last] = value
    return parameters


def test_good_parameters_have_no_errors() -> None:
    assert parameter_errors(GOOD, SECTIONS) == []


@pytest.mark.parametrize(
    ("path", "value", "key", "words"),
    [
        ("outter", {}, "outter", "no such section"),
        ("outer.inner.n_bar", 3, "outer.inner.n_bar", "did you mean n_bars?"),
        ("outer.inner.n_bars", "three", "outer.inner.n_bars", "'three'"),
        ("outer.name", 3, "outer.name", "3 given, must be text"),
    ],
)
def test_each_mistake_names_its_key(
    path: str, value: Any, key: str, words: str
) -> None:
    [(named, problem)] = parameter_errors(broken(path, value), SECTIONS)
    assert named == key
    assert words in problem


class Picked(Config):
    alias: Alias
    month: Annotated[str | None, BeforeValidator(month_text)]

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.alias == "unknown":
            raise ValueError("picked.alias: 'unknown' is no alias")
        return self


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"alias": "a b", "month": None},
            ("picked.alias", "'a b': must be letters, digits, - and _, at most 64"),
        ),
        (
            {"alias": "a", "month": "2019-6"},
            ("picked.month", "2019-6 is no month: write year, dash and two digits"),
        ),
        (
            {"alias": "unknown", "month": None},
            ("picked.alias", "'unknown' is no alias"),
        ),
    ],
)
def test_a_format_is_told_in_words_and_a_key_once(
    given: dict[str, Any], expected: tuple[str, str]
) -> None:
    ((key, problem),) = parameter_errors({"picked": given}, {"picked": Picked})
    assert key == expected[0]
    assert problem.startswith(expected[1])


class Lists(Config):
    symbols: list[str]
    families: tuple[str, ...]
    bounds: tuple[float, float] | None
    name: str


def test_a_list_may_be_written_as_the_command_line_does() -> None:
    values = {"symbols": "ON; NO;", "families": "a;b", "bounds": None, "name": "a;b"}
    read = Lists.model_validate(values)
    assert (read.symbols, read.families, read.name) == (["ON", "NO"], ("a", "b"), "a;b")
    assert Lists.model_validate({**values, "symbols": "ON"}).symbols == ["ON"]
    assert Lists.model_validate({**values, "symbols": ["A;B"]}).symbols == ["A;B"]


def test_all_mistakes_come_at_once() -> None:
    parameters = {"outer": {"inner": {"n_bars": "x"}}, "typo": 1}
    keys = [key for key, _ in parameter_errors(parameters, SECTIONS)]
    assert keys == ["typo", "outer.inner.n_bars", "outer.inner.share", "outer.name"]


def test_a_missing_section_is_an_error() -> None:
    assert parameter_errors({}, SECTIONS) == [("outer", "the section is missing")]


def test_parameters_are_frozen_and_digested_by_value() -> None:
    first, second = (Outer.model_validate(GOOD["outer"]) for _ in range(2))
    with pytest.raises(ValueError, match="frozen"):
        first.name = "y"
    assert parameter_digest(first) == parameter_digest(second)
    other = Outer.model_validate(broken("outer.inner.n_bars", 4)["outer"])
    assert parameter_digest(first) != parameter_digest(other)


@pytest.fixture
def typed(base_parameters: dict[str, Any]) -> dict[str, Any]:
    """The shipped sections, interpolations replaced."""
    plain = json.loads(
        json.dumps(base_parameters, default=str)
        .replace('"${runtime_params:run.seed, ${globals:run.seed}}"', "7")
        .replace('"${target_ranking.family_parameters}"', "null")
        .replace('"${target_ranking.leakage}"', "null")
    )
    for name in ("family_parameters", "leakage"):
        plain["feature_selection"][name] = plain["target_ranking"][name]
    return {name: model.model_validate(plain[name]) for name, model in ALL.items()}


def changed(section: Config, path: str, value: Any) -> Config:
    values = section.model_dump()
    place = values
    *parents, last = path.split(".")
    for part in parents:
        place = place[part]
    place[last] = value
    return type(section).model_validate(values)


def test_the_shipped_sections_do_not_contradict_each_other(
    typed: dict[str, Any],
) -> None:
    assert contradictions(typed, "simulated") == []


@pytest.mark.parametrize(
    ("section", "path", "value", "key"),
    [
        ("data", "source", "bars.parquet", "data.source"),
        ("run", "seed", 8, "run.seed"),
        ("data", "labels.targets", ["fwd_rat_1d"], "data.labels.targets"),
        ("data", "features.factors", ["ret_one"], "data.features"),
        ("cs_ranking", "loss.type", "no.such.module:loss", "cs_ranking.loss.type"),
        (
            "model_training",
            "parameters.lightgbm.n_roundz",
            3,
            "model_training.parameters",
        ),
        (
            "target_ranking",
            "model_families",
            ["xgboost_rank"],
            "target_ranking.family_parameters",
        ),
    ],
)
def test_each_contradiction_names_its_key(
    typed: dict[str, Any], section: str, path: str, value: Any, key: str
) -> None:
    typed[section] = changed(typed[section], path, value)
    problems = contradictions(typed, "simulated")
    assert [named for named, _ in problems] == [key]


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("evaluation", "primary_target", "fwd_ret_3d"),
        ("cs_ranking", "targets", ["fwd_ret_3d"]),
    ],
)
def test_a_target_without_labels_matters_to_the_run_that_reads_it(
    typed: dict[str, Any], section: str, key: str, value: Any
) -> None:
    typed[section] = changed(typed[section], key, value)
    ((named, problem),) = unlabelled(typed, {"evaluation", "cs_ranking"})
    assert named == f"{section}.{key}"
    assert "fwd_ret_3d" in problem
    assert "fwd_ret_1d" in problem
    assert unlabelled(typed, {"candidate_selection"}) == []


def test_all_blocks_are_checked_also_of_families_that_are_not_trained(
    typed: dict[str, Any],
) -> None:
    blocks = copy.deepcopy(typed["model_training"].parameters)
    blocks["catboost"]["max_dept"] = 3
    blocks["tft"]["hiden"] = 3
    del blocks["gan"]["noise"]
    blocks["ligthgbm"] = {}
    typed["model_training"] = changed(typed["model_training"], "parameters", blocks)
    problems = contradictions(typed, "simulated")
    assert {key for key, _ in problems} == {"model_training.parameters"}
    text = "\n".join(problem for _, problem in problems)
    for words in (
        "catboost: max_dept: unknown key; did you mean max_depth?",
        "tft: hiden: unknown key; did you mean hidden?",
        "gan: noise: missing",
        "'ligthgbm' does not exist. Did you mean 'lightgbm'?",
    ):
        assert words in text
    assert len(problems) == 4


def test_what_cannot_be_trained_is_told_before_the_first_node(
    typed: dict[str, Any],
) -> None:
    assert untrainable(typed) == []
    typed["model_training"] = changed(
        typed["model_training"], "sample_weights", "uniqueness"
    )
    typed["model_training"] = changed(
        typed["model_training"], "parameters.lstm.hidden", -1
    )
    text = "\n".join(problem for _, problem in untrainable(typed))
    assert "low_rank cannot weigh rows" in text
    assert "hidden: -1 given, must be above 0" in text


def test_a_family_that_does_not_exist_is_told_with_those_that_do(
    typed: dict[str, Any],
) -> None:
    with pytest.raises(ValueError, match=r"'catbost' does not exist.*lightgbm"):
        changed(typed["model_training"], "families", ["catbost"])


def test_two_spellings_of_a_family_are_one(typed: dict[str, Any]) -> None:
    typed["model_training"] = changed(
        typed["model_training"], "families", ["lgbm", "ridge", "lightgbm"]
    )
    typed["routing"] = changed(typed["routing"], "model_families", ["lightgbm", "LGBM"])
    assert contradictions(typed, "simulated") == [
        (
            "routing.model_families",
            "'lightgbm' and 'LGBM' are one family; name it once",
        ),
        (
            "model_training.families",
            "'lgbm' and 'lightgbm' are one family; name it once",
        ),
    ]


@pytest.mark.parametrize(
    ("section", "path", "value", "words"),
    [
        (
            "model_training",
            "families",
            ["ridge", "ridge"],
            "families: 'ridge' is listed",
        ),
        ("model_training", "targets", ["a", "b", "a"], "targets: 'a' is listed twice"),
        ("data", "symbols", ["A", "A"], "symbols: 'A' is listed twice"),
        ("feature_selection", "manual_features", ["x", "x"], "'x' is listed twice"),
        (
            "feature_selection",
            "require_min_models",
            3,
            "more than the 2 model_families",
        ),
        ("feature_selection", "model_families", ["ridge"], "more than the 1 model_fam"),
        ("model_training", "walk_forward.train_months", 3, "refit_months is null"),
    ],
)
def test_what_could_not_be_meant_is_refused(
    typed: dict[str, Any], section: str, path: str, value: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        changed(typed[section], path, value)


def test_workers_that_cannot_be_had_are_told_before_the_first_node(
    tmp_path: Path,
) -> None:
    place = Place.make(tmp_path)
    jobs = {"engine": "dask", "address": str(tmp_path / "no-cluster.json")}
    with pytest.raises(click.ClickException, match=r"no-cluster\.json"):
        place.run(params={"jobs": jobs})
    assert not list(place.data.rglob("*.parquet"))


def test_an_overlay_that_does_not_exist_is_told_with_those_that_do(
    tmp_path: Path,
) -> None:
    place = replace(Place.make(tmp_path), env="smok")
    with pytest.raises(click.ClickException, match=r"--env=smok .*smoke"):
        place.run()
