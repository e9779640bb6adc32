"""InterruptKeeper: every run of a process can be interrupted, not only the first."""

from __future__ import annotations

import os
import signal

import pytest

from ranking_pipeline.hooks import InterruptKeeper
from ranking_pipeline.jobs.interrupts import Interrupted


def test_a_run_after_an_interrupted_one_ends_in_order_too() -> None:
    keeper, before = InterruptKeeper(), signal.getsignal(signal.SIGINT)
    for _ in range(2):  # as in a notebook: no hook tells of the end of the first
        keeper.before_pipeline_run()
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGINT)
    keeper.on_pipeline_error()
    assert signal.getsignal(signal.SIGINT) is before
