"""RunLock: one run at a time writes below a data root."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import IO

import click
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl

from ranking_pipeline.storage import sweep_temporaries


class RunLock:
    """An exclusive lock per data root; the kernel frees it when its holder dies."""

    def __init__(self) -> None:
        self._root = Path()
        self._stream: IO[str] | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Learn where this environment writes."""
        root = Path(context.config_loader["globals"]["data_root"])
        self._root = Path(context.project_path) / root

    @hook_impl
    def before_pipeline_run(self) -> None:
        """Take the lock, or name the run that holds it; then sweep what it may leave."""
        import fcntl

        try:
            self._root.mkdir(parents=True, exist_ok=True)
            self._stream = (self._root / ".lock").open("a+")
        except OSError as problem:
            raise click.ClickException(
                f"Nothing can be written below {self._root} ({problem.strerror}). Name "
                "another place in RANKING_PIPELINE_OUTPUT or data_root."
            ) from None
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._stream.seek(0)
            holder = self._stream.read().strip()
            self._release()
            raise click.ClickException(
                f"Another run ({holder}) is writing to {self._root}. Wait for it, or use "
                "an environment with a data root of its own (--env)."
            ) from None
        self._stream.truncate(0)
        self._stream.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._stream.flush()
        # Other environments have roots below this one: their files are theirs.
        for layer in self._root.glob("0?_*"):
            sweep_temporaries(layer)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Free the lock."""
        self._release()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Free the lock."""
        self._release()

    def _release(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
