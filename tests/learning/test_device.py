"""Huge pages: asked for once, and never against the user."""

from __future__ import annotations

import os

import pytest
import torch

from ranking_pipeline.learning import device
from ranking_pipeline.learning.device import torch_threads, use_huge_pages

NAME = "THP_MEM_ALLOC_ENABLE"


def test_huge_pages_are_asked_for_on_linux_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.setattr(device.sys, "platform", "darwin")
    use_huge_pages()
    assert NAME not in os.environ
    monkeypatch.setattr(device.sys, "platform", "linux")
    for _ in range(2):
        use_huge_pages()
        assert os.environ[NAME] == "1"


def test_a_setting_of_the_users_own_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "0")
    with torch_threads(torch.get_num_threads()):
        assert os.environ[NAME] == "0"
