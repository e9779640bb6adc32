"""The run command: what a user can mend is one line."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from ranking_pipeline import cli
from ranking_pipeline.errors import UserError


@pytest.mark.parametrize("value", ["'Health", "[a", "{a: 1"])
def test_a_value_of_params_that_is_no_yaml_is_named(value: str) -> None:
    given = f"run.seed=3,prediction.sector={value}"
    done = CliRunner().invoke(cli.run, [f"--params={given}"])
    assert done.exit_code == 1
    assert done.output.startswith(
        f"Error: --params: the value of prediction.sector={value}"
    )
    assert len(done.output.splitlines()) == 1


def test_what_a_user_can_mend_is_one_line_wherever_it_happens() -> None:
    def fail(error: Exception) -> Any:
        raise error

    told = cli._in_one_line(fail)
    with pytest.raises(cli.click.ClickException, match="no such file"):
        told(UserError("no such file"))
    with pytest.raises(TypeError):
        told(TypeError("a fault of the program"))
