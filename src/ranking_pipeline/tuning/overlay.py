"""Overlay: parameters that beat the defaults, as configuration for a later run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from ranking_pipeline.tuning.verdicts import Verdict

_HEAD = """\
# Written by the tuning pipeline; the next one replaces it. Only what differs from
# conf/base: a later run takes it with --env.
"""


def overlay_text(verdicts: Sequence[Verdict]) -> str:
    """Give the YAML of an overlay of ``model_training.parameters``.

    A family has one block of parameters, whatever the target: where studies of several
    targets beat the defaults, the one with the surest gain speaks.

    Parameters
    ----------
    verdicts : sequence of Verdict

    Returns
    -------
    str
        Parameters of the families whose best trial beats the defaults; the comments
        say why the others keep theirs.
    """
    chosen = _surest(verdicts)
    blocks: dict[str, Any] = {}
    lines = [_HEAD]
    for verdict in verdicts:
        base = verdict.result.plan.base
        spoken = chosen.get(base.family) is verdict
        if spoken:
            blocks[base.family] = _changed(verdict)
        what = "tuned" if spoken else "unchanged"
        if verdict.beats_default and not spoken:
            what = "overruled by another target"
        lines.append(f"# {base.family} on {base.target}: {what}; {verdict.reason}.\n")
    document = {"model_training": {"parameters": blocks}}
    return "".join(lines) + yaml.safe_dump(document, sort_keys=True)


def _surest(verdicts: Sequence[Verdict]) -> dict[str, Verdict]:
    """Pick the verdict that speaks for each family: the smallest p, then the gain."""
    better = [verdict for verdict in verdicts if verdict.beats_default]
    ordered = sorted(
        better, key=lambda one: (one.p, -one.estimate.test.mean), reverse=True
    )
    return {verdict.result.plan.base.family: verdict for verdict in ordered}


def _changed(verdict: Verdict) -> dict[str, Any]:
    """The tuned parameters that differ from the default ones."""
    block = verdict.result.plan.base.parameters
    tuned = verdict.result.best.parameters
    return {name: tuned[name] for name in sorted(tuned) if tuned[name] != block[name]}
