"""One thread: bits repeat, and the machine is shared."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch


def _load_world() -> ModuleType:
    path = Path(__file__).with_name("ranking_world.py")
    spec = importlib.util.spec_from_file_location("ranking_world", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["ranking_world"] = module
    spec.loader.exec_module(module)
    return module


_load_world()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
