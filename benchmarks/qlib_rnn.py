"""qlib's recurrent networks as a peer: a process that trains when it is told to.

It runs under an interpreter that has qlib, and imports nothing of this project. It
reads names of networks from its standard input, one a line, trains that network on the
same number of windows each time, and answers with the processor seconds.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

SYMBOLS, DAYS, FEATURES, LENGTH = 400, 100, 20, 20
BATCH, BATCHES, HIDDEN, LAYERS = 800, 10, 64, 2
SEED = 7


def factors() -> tuple[np.ndarray, np.ndarray]:
    """Random factors (SYMBOLS, DAYS, FEATURES) and labels (SYMBOLS, DAYS)."""
    rng = np.random.default_rng(SEED)
    values = rng.standard_normal((SYMBOLS, DAYS, FEATURES), dtype=np.float32)
    return values, rng.standard_normal((SYMBOLS, DAYS), dtype=np.float32)


class _Part:
    """The first batches of each pass over a loader."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[Any]:
        return islice(iter(self._loader), BATCHES)


def _dataset() -> Any:
    values, labels = factors()
    days = pd.bdate_range("2020-01-01", periods=DAYS)
    names = [f"S{i:04d}" for i in range(SYMBOLS)]
    index = pd.MultiIndex.from_product([names, days], names=["instrument", "datetime"])
    columns = [("feature", f"F{i}") for i in range(FEATURES)] + [("label", "LABEL0")]
    frame = pd.DataFrame(
        np.column_stack([values.reshape(-1, FEATURES), labels.reshape(-1)]),
        index=index,
        columns=pd.MultiIndex.from_tuples(columns),
    )
    handlers = importlib.import_module("qlib.data.dataset.handler")
    loaders = importlib.import_module("qlib.data.dataset.loader")
    datasets = importlib.import_module("qlib.data.dataset")
    handler = handlers.DataHandlerLP(
        data_loader=loaders.StaticDataLoader(frame.swaplevel().sort_index())
    )
    segments = {"train": (days[0], days[-1])}
    return datasets.TSDatasetH(handler=handler, segments=segments, step_len=LENGTH)


def _loader() -> _Part:
    torch_data = importlib.import_module("torch.utils.data")
    utilities = importlib.import_module("qlib.model.utils")
    series = _dataset().prepare("train", col_set=["feature", "label"], data_key="learn")
    series.config(fillna_type="ffill+bfill")
    weighted = utilities.ConcatDataset(series, np.ones(len(series)))
    return _Part(
        torch_data.DataLoader(weighted, batch_size=BATCH, shuffle=True, drop_last=True)
    )


def _network(name: str) -> Any:
    module = importlib.import_module(f"qlib.contrib.model.pytorch_{name}_ts")
    return getattr(module, name.upper())(
        d_feat=FEATURES,
        hidden_size=HIDDEN,
        num_layers=LAYERS,
        dropout=0.0,
        n_epochs=1,
        lr=1e-3,
        batch_size=BATCH,
        metric="loss",
        loss="mse",
        GPU=-1,
        seed=SEED,
        n_jobs=0,
    )


def main() -> None:
    """Answer each network's name with the processor seconds of one training pass."""
    warnings.filterwarnings("ignore")
    # The released package writes below the working folder on import and on init.
    os.chdir(tempfile.mkdtemp(prefix="qlib_rnn_"))
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    importlib.import_module("torch").set_num_threads(1)
    importlib.import_module("qlib").init(
        provider_uri=".", kernels=1, logging_level=40, skip_if_reg=True
    )
    loader = _loader()
    networks = {name: _network(name) for name in ("lstm", "gru")}
    print("READY", flush=True)
    for line in sys.stdin:
        started = time.process_time()
        networks[line.strip()].train_epoch(loader)
        print("SECONDS", time.process_time() - started, flush=True)


if __name__ == "__main__":
    main()
