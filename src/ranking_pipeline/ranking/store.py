"""A ranker on disk: weights as safetensors, everything else as model_meta.json."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.channels import CHANNELS, ChannelScale
from ranking_pipeline.ranking.ranker import Ranker, RankerSpec
from ranking_pipeline.storage import atomic_write, number_or_null, write_json

WEIGHTS_FILE = "model.safetensors"
META_FILE = "model_meta.json"
SCHEMA_VERSION = "1.4"


@dataclass(frozen=True)
class Provenance:
    """What the model file says about its data.

    Attributes
    ----------
    target : str
        Name of the payoff that was ranked, such as ``fwd_ret_1d``.
    target_type : str
        See :class:`ranking_pipeline.ranking.targets.TargetSpec`.
    interval_minutes : int
        Length of a bar; 1440 for daily bars.
    """

    target: str
    target_type: str
    interval_minutes: int


def save_ranker(ranker: Ranker, folder: Path, provenance: Provenance) -> dict[str, Any]:
    """Write the weights and, last, the meta file with their SHA-256.

    Returns
    -------
    dict
        The content of ``model_meta.json``: no clock, no path.
    """
    content = weights_file(to_tensors(ranker))
    with atomic_write(folder / WEIGHTS_FILE) as temporary:
        temporary.write_bytes(content)
    meta = model_meta(ranker, provenance, hashlib.sha256(content).hexdigest())
    write_json(folder / META_FILE, meta)
    return meta


def load_ranker(folder: Path) -> Ranker:
    """Read what :func:`save_ranker` wrote; the history stays behind.

    Raises
    ------
    UserError
        When a file is missing, or the weights are not those that the meta file vouches
        for; they are checked before they are parsed.
    """
    from safetensors.torch import load

    meta, path = read_meta(folder), folder / WEIGHTS_FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is missing; train the model again.") from None
    if hashlib.sha256(content).hexdigest() != meta["model_checksum"]:
        raise UserError(
            f"{path} is not the file that {META_FILE} vouches for: its SHA-256 "
            "differs. Train the model again or restore the file."
        )
    return from_tensors(load(content), meta)


def to_tensors(ranker: Ranker) -> dict[str, Tensor]:
    """Put the weights of all networks in one mapping, ``network<i>.<parameter>``."""
    return {
        f"network{place}.{name}": value.contiguous()
        for place, state in enumerate(ranker.states)
        for name, value in state.items()
    }


def from_tensors(
    weights: Mapping[str, Tensor | npt.NDArray[Any]], meta: Mapping[str, Any]
) -> Ranker:
    """Rebuild the ranker behind :func:`to_tensors` and :func:`model_meta`."""
    spec, scale = RankerSpec.from_dict(meta["spec"]), meta["channel_scale"]
    metrics = meta["cross_sectional_ranking"]["training_metrics"]
    return Ranker(
        spec=spec,
        scale=None if scale is None else ChannelScale.from_dict(scale),
        states=tuple(_state(weights, place) for place in range(len(spec.seeds))),
        metrics={k: math.nan if v is None else v for k, v in metrics.items()},
        counts=dict(meta.get("data", {})),
    )


def ranker_of(
    weights: Mapping[str, Tensor | npt.NDArray[Any]],
    metas: Mapping[str, Any],
    target: str,
) -> Ranker:
    """Take one ranker out of what a run stored for all its targets.

    Parameters and errors are those of :func:`weights_of`.
    """
    return from_tensors(weights_of(weights, metas, target), metas[target])


def weights_of(
    weights: Mapping[str, Tensor | npt.NDArray[Any]],
    metas: Mapping[str, Any],
    target: str,
) -> dict[str, Tensor]:
    """Take the checked weights of one ranker out of those of all targets.

    Parameters
    ----------
    weights : mapping
        The dataset ``cs_model``: ``<target>/network<i>.<parameter>``.
    metas : mapping
        The dataset ``cs_model_meta``: one meta document per target.
    target : str

    Raises
    ------
    UserError
        When the target was not trained, or the weights are not those that its meta
        document vouches for.
    """
    if target not in metas:
        raise UserError(
            f"no ranking network was trained for {target!r}; "
            f"there are {', '.join(metas) or 'none'}."
        )
    prefix = f"{target}/"
    own = {
        name.removeprefix(prefix): torch.as_tensor(value)
        for name, value in weights.items()
        if name.startswith(prefix)
    }
    content = weights_file(own)
    if hashlib.sha256(content).hexdigest() != metas[target]["model_checksum"]:
        raise UserError(
            f"the weights of {target!r} are not those that its meta document vouches "
            "for: take cs_model and cs_model_meta of the same run."
        )
    return own


def weights_file(weights: Mapping[str, Tensor]) -> bytes:
    """Make the bytes of the safetensors file that holds ``weights``."""
    from safetensors.torch import save

    return save(dict(weights))


def read_meta(folder: Path) -> dict[str, Any]:
    """Read the content of ``model_meta.json``.

    Raises
    ------
    UserError
        When the file is missing, is no JSON, or lacks a key that is needed.
    """
    path = folder / META_FILE
    try:
        meta: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; train the model again.") from None
    except IsADirectoryError:
        raise UserError(
            f"{path} is a folder of versions that a run wrote; load cs_model and "
            "cs_model_meta through the catalog, and take the ranker by ranker_of()."
        ) from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not valid JSON ({error}).") from None
    needed = ("model_checksum", "spec", "channel_scale", "cross_sectional_ranking")
    missing = [key for key in needed if key not in meta]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}; train the model again.")
    return meta


def model_meta(
    ranker: Ranker, provenance: Provenance, model_checksum: str
) -> dict[str, Any]:
    """Describe a stored ranker as JSON; a metric without a value is null."""
    spec = ranker.spec
    metrics = {name: number_or_null(value) for name, value in ranker.metrics.items()}
    return {
        "schema_version": SCHEMA_VERSION,
        "family": spec.network.name,
        "target": provenance.target,
        "feature_list": [],
        "n_features": 0,
        "interval_minutes": provenance.interval_minutes,
        "model_checksum": model_checksum,
        "input_mode": "raw_sequence",
        "sequence_length": spec.sequence_length,
        "bars_required": spec.bars_required,
        "sequence_channels": list(CHANNELS),
        "sequence_normalization": spec.normalization,
        "channel_scale": None if ranker.scale is None else asdict(ranker.scale),
        "metrics": {
            "mean_IC": metrics.get("pearson_ic"),
            "mean_RankIC": metrics.get("best_ic"),
            "IC_IR": metrics.get("ic_ir"),
        },
        "cross_sectional_ranking": {
            "enabled": True,
            "target_type": provenance.target_type,
            "loss_type": spec.loss,
            "sequence_length": spec.sequence_length,
            "normalization": spec.normalization,
            "training_metrics": metrics,
        },
        "data": ranker.counts,
        "spec": asdict(spec),
    }


def _state(
    weights: Mapping[str, Tensor | npt.NDArray[Any]], place: int
) -> dict[str, Tensor]:
    prefix = f"network{place}."
    return {
        name.removeprefix(prefix): torch.as_tensor(value)
        for name, value in weights.items()
        if name.startswith(prefix)
    }
