"""qlib's LightGBM as a peer: one fit and one prediction, with what they took.

It runs under an interpreter that has qlib, and imports nothing of this project. It
prints one line of JSON; its rows are those of ``benchmarks.lightgbm_fit``, which takes
them and the measuring from here.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SYMBOLS, DAYS, FEATURES, SEED = 300, 500, 158, 7
TRAIN_DAYS, VALIDATION_DAYS = 300, 100
# qlib's published setting for Alpha158. Its row share is never used: bagging_freq is 0.
PUBLISHED: dict[str, Any] = {
    "colsample_bytree": 0.8879,
    "learning_rate": 0.2,
    "subsample": 0.8789,
    "lambda_l1": 205.6999,
    "lambda_l2": 580.9768,
    "max_depth": 8,
    "num_leaves": 210,
}
ROUNDS = 100


def factors() -> tuple[np.ndarray, np.ndarray]:
    """Factors (days * symbols, features) and labels: a weak signal, one day per block."""
    rng = np.random.default_rng(SEED)
    values = rng.standard_normal((DAYS * SYMBOLS, FEATURES), dtype=np.float32)
    signal = values[:, 0] + values[:, 1] * values[:, 2] + np.abs(values[:, 3])
    noise = rng.standard_normal(len(values), dtype=np.float32)
    return values, (0.2 * signal + noise).astype(np.float32)


def measured(
    fit: Callable[[], Any], predict: Callable[[Any], np.ndarray], file: Path
) -> dict[str, float]:
    """Processor seconds of a fit and of a prediction, and the fit's peak memory in MB.

    The memory is what the fit holds at its peak beyond what the process held before.
    The prediction goes into ``file``, so that sides can be compared.
    """
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # peak = now
    before = _kilobytes("VmRSS")
    started = time.process_time()
    model = fit()
    fitted = time.process_time()
    peak = _kilobytes("VmHWM") - before
    between = time.process_time()
    prediction = predict(model)
    ended = time.process_time()
    np.save(file, prediction)
    return {
        "fit": fitted - started,
        "predict": ended - between,
        "peak_mb": peak / 1024,
    }


def _kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def _dataset() -> Any:
    values, labels = factors()
    days = pd.bdate_range("2020-01-01", periods=DAYS)
    names = [f"S{i:04d}" for i in range(SYMBOLS)]
    columns = [("feature", f"F{i}") for i in range(FEATURES)] + [("label", "LABEL0")]
    frame = pd.DataFrame(
        np.column_stack([values, labels]),
        index=pd.MultiIndex.from_product(
            [days, names], names=["datetime", "instrument"]
        ),
        columns=pd.MultiIndex.from_tuples(columns),
    )
    handlers = importlib.import_module("qlib.data.dataset.handler")
    loaders = importlib.import_module("qlib.data.dataset.loader")
    datasets = importlib.import_module("qlib.data.dataset")
    ends = (TRAIN_DAYS, TRAIN_DAYS + VALIDATION_DAYS, DAYS)
    starts = (0, *ends[:-1])
    segments = {
        name: (days[first], days[last - 1])
        for name, first, last in zip(
            ("train", "valid", "test"), starts, ends, strict=True
        )
    }
    handler = handlers.DataHandlerLP(data_loader=loaders.StaticDataLoader(frame))
    return datasets.DatasetH(handler=handler, segments=segments)


def main(file: str) -> None:
    """Fit qlib's model on its own data set, and say what that took."""
    warnings.filterwarnings("ignore")
    path = Path(file).resolve()
    # The released package writes below the working folder on import and on init.
    os.chdir(tempfile.mkdtemp(prefix="qlib_lightgbm_"))
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    importlib.import_module("qlib").init(
        provider_uri=".", kernels=1, logging_level=40, skip_if_reg=True
    )
    trees = importlib.import_module("qlib.contrib.model.gbdt")
    dataset = _dataset()
    model = trees.LGBModel(
        loss="mse",
        **PUBLISHED,
        num_threads=1,
        num_boost_round=ROUNDS,
        early_stopping_rounds=ROUNDS,
        seed=SEED,
    )

    def fit() -> Any:
        model.fit(dataset, verbose_eval=0)
        return model

    def predict(fitted: Any) -> np.ndarray:
        return np.asarray(fitted.predict(dataset, segment="test"))

    print(json.dumps(measured(fit, predict, path)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
