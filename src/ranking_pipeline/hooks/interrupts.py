"""InterruptKeeper: a signal ends a run with its workers and temporary files."""

from __future__ import annotations

from contextlib import ExitStack

from kedro.framework.hooks import hook_impl

from ranking_pipeline.jobs.interrupts import interruptible


class InterruptKeeper:
    """Take SIGINT and SIGTERM while a pipeline runs; exit codes are 130 and 143.

    The signal leaves through Kedro as :class:`SystemExit`, for which it calls no hook:
    the process ends, and the kernel frees what it held.
    """

    def __init__(self) -> None:
        self._taken = ExitStack()

    # Last: after a refusal by another hook nothing would give the signals back.
    @hook_impl(trylast=True)
    def before_pipeline_run(self) -> None:
        """Begin; a run of this process that was interrupted could not give back."""
        self._taken.close()
        self._taken.enter_context(interruptible())

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Give the signals back."""
        self._taken.close()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Give the signals back."""
        self._taken.close()
