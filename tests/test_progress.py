"""Progress: a bar in a log is a handful of updates."""

from __future__ import annotations

import io

import pytest
from tqdm import tqdm

from ranking_pipeline.progress import bar_options


@pytest.mark.parametrize("total", [0, 1, 3, 404])
def test_a_log_gets_a_handful_of_updates(total: int) -> None:
    log = io.StringIO()
    with tqdm(**bar_options(total), file=log) as bar:
        for _ in range(total):
            bar.update()
    assert log.getvalue().count("\r") <= 7
