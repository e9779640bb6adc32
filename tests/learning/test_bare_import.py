"""Learning and ranking need torch and numpy, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import ranking_pipeline

SCRIPT = '''
import sys

REFUSED = {
    "pandas", "pydantic", "pydantic_core", "scipy", "sklearn", "safetensors", "pyarrow",
    "click", "kedro", "kedro_datasets", "yaml", "omegaconf", "bottleneck", "lightgbm",
    "xgboost", "loky", "dask", "plotly", "skops", "tqdm", "pandera",
    "exchange_calendars", "polars", "joblib",
}


class Hiding:
    """A finder that does not find what is refused, as if it were not installed."""

    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in REFUSED:
            return None
        return self.finder.find_spec(name, path, target)


sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
try:
    import pandas
except ImportError:
    pass
else:
    raise AssertionError("the hook lets pandas through")

import importlib
import pkgutil

import ranking_pipeline.learning
import ranking_pipeline.ranking

for package in (ranking_pipeline.learning, ranking_pipeline.ranking):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if module.name != "ranking_pipeline.ranking.store":
            importlib.import_module(module.name)

from pathlib import Path

from ranking_pipeline.learning.checkpoints import CheckpointFile
from training_world import checkpointed_training

result = checkpointed_training("cosine", CheckpointFile(Path(sys.argv[1]), "key", 0.0))
assert result.best_metric > 0.3
assert Path(sys.argv[1]).exists()
assert not REFUSED & {name.partition(".")[0] for name in sys.modules}
sys.stdout.write("trained")
'''


def test_learning_and_ranking_import_and_train_with_torch_and_numpy_alone(
    tmp_path: Path,
) -> None:
    folders = Path(ranking_pipeline.__file__).parents[1], Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "checkpoint.npz")],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": os.pathsep.join(map(str, folders)), "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "trained"
