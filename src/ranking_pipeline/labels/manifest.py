"""The target manifest: what each label column is, in words and numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ranking_pipeline.labels.config import LabelsConfig
from ranking_pipeline.labels.grammar import SWING_NEIGHBOURS, TargetSpec

_TOUCHES = {
    "will_peak": "1 if a high reaches the upper barrier, else 0",
    "will_valley": "1 if a low reaches the lower barrier, else 0",
    "first_touch": "1 upper, -1 lower barrier first, 0 none",
}


def target_manifest(
    labels: pd.DataFrame,
    specs: Sequence[TargetSpec],
    targets: set[str],
    config: LabelsConfig,
) -> pd.DataFrame:
    """Describe the label columns, one row each; ``targets`` are those asked for."""
    return pd.DataFrame(
        [
            {
                "target": spec.name,
                "kind": spec.kind,
                "task": spec.task,
                "horizon_bars": spec.horizon_bars,
                "horizon_tier": spec.horizon_tier,
                "entry_lag_bars": config.entry_lag_bars,
                "payoff": spec.payoff,
                "is_target": spec.name in targets,
                "formula": _formula(spec, config),
                "n_rows": int(labels[spec.name].count()),
                "class_share": _class_share(labels[spec.name], spec.task),
            }
            for spec in specs
        ]
    )


def _formula(spec: TargetSpec, config: LabelsConfig) -> str:
    entry, horizon = f"close[t+{config.entry_lag_bars}]", spec.horizon_bars
    last = config.entry_lag_bars + horizon
    if spec.kind == "forward_return":
        return f"close[t+{last}] / {entry} - 1"
    window = f"t+{config.entry_lag_bars + 1} ... t+{last}"
    if spec.kind in {"excursion", "threshold"}:
        return _excursion(spec, entry, window)
    if spec.kind == "swing":
        return _swing(spec, config, window)
    touch = _TOUCHES[spec.event or "first_touch"]
    multiple, sigma = _barriers(spec, config)
    return (
        f"{touch}, within {horizon} bars of {entry}; barriers "
        f"{entry} (1 ± {multiple:g} sigma sqrt({horizon})), sigma: {sigma}"
    )


def _excursion(spec: TargetSpec, entry: str, window: str) -> str:
    up = spec.event.endswith("mfe")
    price = f"max high[{window}]" if up else f"min low[{window}]"
    reached = f"{price} / {entry} - 1"
    if spec.kind == "excursion":
        return reached
    limit = f">= {spec.threshold:g}" if up else f"<= -{spec.threshold:g}"
    return f"1 if {reached} {limit}, else 0"


def _swing(spec: TargetSpec, config: LabelsConfig, window: str) -> str:
    up = spec.event == "swing_high"
    extreme, turn = ("high", "fall") if up else ("low", "rise")
    multiple, sigma = _barriers(spec, config)
    return (
        f"1 if a local {extreme} ({SWING_NEIGHBOURS} bars on either side) within "
        f"{window} is followed there by a {turn} of {multiple:g} sigma "
        f"sqrt({spec.horizon_bars}), else 0; sigma: {sigma}"
    )


def _barriers(spec: TargetSpec, config: LabelsConfig) -> tuple[float, str]:
    """Distance in deviations, and which deviation."""
    if spec.kind == "triple_barrier":
        span = config.barrier_volatility_span_bars
        return config.barrier_multiple, f"exponentially weighted, span {span}, at t"
    bars = config.path_volatility_bars
    return spec.multiple, f"standard deviation of {bars} returns at t"


def _class_share(values: pd.Series, task: str) -> str:
    if task == "regression":
        return ""
    share = values.value_counts(normalize=True).sort_index()
    return ", ".join(f"{value:g}: {part:.2f}" for value, part in share.items())
