"""The family that the documentation shows is a family."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranking_pipeline.models import registry
from ranking_pipeline.models.samples import Samples


@pytest.fixture
def nearest(project: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    page = (project / "docs" / "models.md").read_text("utf-8")
    [source] = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile(source, "models.md", "exec"), names)
    return names["NearestModel"]


def test_it_learns_and_comes_back_from_its_files(
    nearest: Any, samples: Callable[[str], tuple[Samples, ...]], tmp_path: Path
) -> None:
    assert registry.family_type("nearest") is nearest
    train, validation, later = samples("regression")
    model = registry.create("nearest", {"neighbours": 20}, seed=0, threads=1)
    model.fit(train, validation)
    score = model.predict(later).score
    known = np.isfinite(later.target)
    assert np.corrcoef(score[known], later.target[known])[0, 1] > 0.1
    model.save(tmp_path)
    config = registry.validate("nearest", {"neighbours": 20})
    again = nearest.load(tmp_path, config, seed=0, threads=1)
    np.testing.assert_array_equal(again.predict(later).score, score)
