"""qlib's windows as a peer: a process that goes over its sampler when it is told to.

It runs under an interpreter that has qlib, and imports nothing of this project. For each
line of its standard input it takes the same number of random windows in batches from a
``TSDataSampler`` through torch's ``DataLoader``, and answers with the processor seconds.
"""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any

import numpy as np
import pandas as pd
import torch

SYMBOLS, BARS, FEATURES, LENGTH = 200, 300, 5, 64
BATCH, BATCHES = 500, 4


def channels() -> np.ndarray:
    """Random channels (SYMBOLS, BARS, FEATURES)."""
    rng = np.random.default_rng(3)
    return rng.standard_normal((SYMBOLS, BARS, FEATURES), dtype=np.float32)


def _loader() -> Any:
    days = pd.bdate_range("2020-01-01", periods=BARS)
    names = [f"S{i:04d}" for i in range(SYMBOLS)]
    index = pd.MultiIndex.from_product([names, days], names=["instrument", "datetime"])
    frame = pd.DataFrame(channels().reshape(-1, FEATURES), index=index)
    table = frame.swaplevel().sort_index()
    sampler = importlib.import_module("qlib.data.dataset").TSDataSampler
    windows = sampler(table, days[LENGTH - 1], days[-1], LENGTH, dtype=np.float32)
    return torch.utils.data.DataLoader(windows, BATCH, shuffle=True)


def main() -> None:
    """Answer each line with the seconds of BATCHES batches."""
    torch.set_num_threads(1)
    loader = _loader()
    print("READY", flush=True)
    for _ in sys.stdin:
        started, batches = time.process_time(), iter(loader)
        for _batch in range(BATCHES):
            assert next(batches).shape == (BATCH, LENGTH, FEATURES)
        print("SECONDS", time.process_time() - started, flush=True)


if __name__ == "__main__":
    main()
