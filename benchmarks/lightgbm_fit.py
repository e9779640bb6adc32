"""lightgbm_fit: our LightGBM beside qlib's and the bare library, on the same rows.

Every fit has a process of its own on one thread; the sides take turns. Seconds are
those of the processor. 90,000 training rows, 30,000 for validation and 30,000 predicted,
of 158 factors; nothing stops before the last round.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks import qlib_lightgbm as peer
from benchmarks.harness import PROJECT, Row, row
from ranking_pipeline.models import registry
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import Panel

Figures = dict[str, list[float]]
MATRIX_MB = peer.TRAIN_DAYS * peer.SYMBOLS * peer.FEATURES * 4 / 2**20
PUBLISHED: dict[str, Any] = {
    "objective": "l2",
    "quantile": 0.5,
    "n_rounds": peer.ROUNDS,
    "learning_rate": 0.2,
    "max_leaves": 210,
    "max_depth": 8,
    "l1": 205.6999,
    "l2": 580.9768,
    "min_rows_per_leaf": 20,
    "row_share": 1.0,
    "feature_share": 0.8879,
    "max_bins": 255,
    "patience_rounds": peer.ROUNDS,
}


def run(rounds: int | None, peer_python: Path | None = None) -> list[Row]:
    """Measure ``rounds`` times (3 by default).

    Parameters
    ----------
    rounds
    peer_python
        Interpreter that has qlib; without it qlib is left out.
    """
    sides = ["ours published", "bare published", "ours default", "bare default"]
    if peer_python is None or not peer_python.exists():
        print("qlib is left out: give its interpreter by --peer-python", flush=True)
    else:
        sides.append("qlib")
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, Figures] = {side: {} for side in sides}
        for number in range(rounds or 3):
            for side in _turned(sides, number):
                file = Path(folder) / f"{side}.npy"
                for name, value in _figures(side, file, peer_python).items():
                    found[side].setdefault(name, []).append(value)
        alike = [
            row(f"{side}: correlation with ours", "1", [_alike(Path(folder), side)])
            for side in sides
            if not side.startswith("ours")
        ]
    return [*_rows(found), *alike]


def _rows(found: dict[str, Figures]) -> list[Row]:
    rows = []
    for setting in ("published", "default"):
        ours, bare = found[f"ours {setting}"], found[f"bare {setting}"]
        rows += [
            row(f"{setting}: fit beside bare", "s", ours["fit"], bare["fit"]),
            row(f"{setting}: whole path beside bare", "s", _sum(ours), _sum(bare)),
            row(
                f"{setting}: memory of the fit beside bare",
                "copies of the matrix",
                _copies(ours),
                _copies(bare),
            ),
            row(
                f"{setting}: added to the bare fit",
                "%",
                [
                    100 * (a / b - 1)
                    for a, b in zip(_sum(ours), _sum(bare), strict=True)
                ],
            ),
        ]
    if "qlib" in found:
        ours, qlib = found["ours published"], found["qlib"]
        rows += [
            row("published: fit beside qlib", "s", ours["fit"], qlib["fit"]),
            row(
                "published: predict beside qlib", "s", ours["predict"], qlib["predict"]
            ),
            row(
                "published: memory of the fit beside qlib",
                "copies of the matrix",
                _copies(ours),
                _copies(qlib),
            ),
        ]
    return rows


def _sum(side: Figures) -> list[float]:
    return [a + b for a, b in zip(side["fit"], side["predict"], strict=True)]


def _copies(side: Figures) -> list[float]:
    return [megabytes / MATRIX_MB for megabytes in side["peak_mb"]]


def _turned(sides: Sequence[str], number: int) -> list[str]:
    """Start with another side each round, so that none always follows the same."""
    first = number % len(sides)
    return [*sides[first:], *sides[:first]]


def _alike(folder: Path, side: str) -> float:
    setting = "default" if side.endswith("default") else "published"
    files = (folder / f"{each}.npy" for each in (side, f"ours {setting}"))
    return float(np.corrcoef(*(np.load(file) for file in files))[0, 1])


def _figures(side: str, file: Path, python: Path | None) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.lightgbm_fit", side, str(file)]
    if side == "qlib":
        script = PROJECT / "benchmarks" / "qlib_lightgbm.py"
        command = [str(python), str(script), str(file)]
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env=os.environ | dict.fromkeys(threads, "1"),
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    print(side, figures, flush=True)
    return figures


def _blocks() -> tuple[Samples, Samples, Samples]:
    values, labels = peer.factors()
    panel = Panel(
        tuple(f"S{i:04d}" for i in range(peer.SYMBOLS)),
        np.datetime64("2020-01-01", "ns")
        + np.arange(peer.DAYS) * np.timedelta64(1, "D"),
        ("open", "high", "low", "close", "volume"),
        np.ones((peer.SYMBOLS, peer.DAYS, 5), np.float32),
        np.ones((peer.SYMBOLS, peer.DAYS), np.bool_),
    )
    bars = np.repeat(np.arange(peer.DAYS), peer.SYMBOLS)
    ends = np.array([peer.TRAIN_DAYS, peer.TRAIN_DAYS + peer.VALIDATION_DAYS])
    train, validation, test = np.split(np.arange(len(bars)), ends * peer.SYMBOLS)
    rows = Samples(
        panel,
        bars,
        np.tile(np.arange(peer.SYMBOLS), peer.DAYS),
        values,
        tuple(f"F{i}" for i in range(peer.FEATURES)),
        labels,
        bars + 1,
        "regression",
    )
    return rows.take(train), rows.take(validation), rows.take(test)


def _parameters(setting: str) -> dict[str, Any]:
    """The published block, or that of the default configuration without a stop."""
    if setting == "published":
        return PUBLISHED
    text = (PROJECT / "conf/base/parameters_model_training.yml").read_text("utf-8")
    blocks = yaml.safe_load(text)["model_training"]["parameters"]
    return {**blocks["lightgbm"], "patience_rounds": blocks["lightgbm"]["n_rounds"]}


def _bare(block: dict[str, Any], train: Samples, validation: Samples) -> Any:
    """Fit by the library alone, as its manual says, with the same settings."""
    import lightgbm

    data = lightgbm.Dataset(train.features, train.target)
    held_out = data.create_valid(validation.features, validation.target)
    settings = {
        "objective": "l2",
        "learning_rate": block["learning_rate"],
        "num_leaves": block["max_leaves"],
        "max_depth": block["max_depth"] or -1,
        "min_data_in_leaf": block["min_rows_per_leaf"],
        "bagging_fraction": block["row_share"],
        "bagging_freq": 1,
        "feature_fraction": block["feature_share"],
        "lambda_l1": block["l1"],
        "lambda_l2": block["l2"],
        "max_bin": block["max_bins"],
        "seed": peer.SEED,
        "num_threads": 1,
        # Left alone the library times both ways, and now and then takes the slower.
        "force_col_wise": True,
        "verbosity": -1,
    }
    return lightgbm.train(
        settings,
        data,
        num_boost_round=block["n_rounds"],
        valid_sets=[held_out],
        callbacks=[lightgbm.early_stopping(block["patience_rounds"], verbose=False)],
    )


def main(side: str, file: str) -> None:
    """Print what one side took."""
    import lightgbm  # its import is no part of a fit

    assert lightgbm.__version__
    kind, setting = side.split()
    block = _parameters(setting)
    train, validation, test = _blocks()
    model = registry.create("lightgbm", block, peer.SEED, 1)

    def fit() -> Any:
        if kind == "bare":
            return _bare(block, train, validation)
        model.fit(train, validation)
        return model

    def predict(fitted: Any) -> np.ndarray:
        if kind == "bare":
            return np.asarray(fitted.predict(test.features, num_threads=1))
        return np.asarray(fitted.predict(test).score)

    print(json.dumps(peer.measured(fit, predict, Path(file))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
