"""TimesFM's encoder: pretrained weights from a folder, frozen, as a map of windows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import extras
from ranking_pipeline.models.timesfm_files import CONFIG, FAMILY, REMEDY, weight_files

_MODEL_TYPE = "timesfm"  # of transformers
# Frequency 0 is TimesFM's class of daily and faster series.
_HIGH_FREQUENCY = 0
_WINDOWS_AT_ONCE = 256


@dataclass(frozen=True)
class TimesFmEncoder:
    """The decoder stack of TimesFM (Das et al., 2024) up to its last hidden state.

    "A decoder-only foundation model for time-series forecasting". A series is cut into
    patches, each sees those before it, and the state of the last patch describes the
    series. The model standardises a series by its first patch by itself.

    Attributes
    ----------
    model : nn.Module
        Frozen, in evaluation mode.
    device : torch.device
    """

    model: Any
    device: torch.device

    @classmethod
    def read(cls, folder: str, device: torch.device) -> TimesFmEncoder:
        """Read the weights with the transformers package; nothing is downloaded.

        Raises
        ------
        UserError
            When the package is missing, or the folder is no whole TimesFM checkpoint.
        """
        extras.require(FAMILY, FAMILY)
        weight_files(folder)
        _check_kind(Path(folder))
        from safetensors import SafetensorError

        library: Any = import_module("transformers")

        try:
            model, report = library.TimesFmModelForPrediction.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                dtype=torch.float32,
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise UserError(
                f"timesfm: the weights in {folder!r} cannot be read "
                f"({type(error).__name__}: {error}). {REMEDY}"
            ) from error
        if report["missing_keys"]:
            raise UserError(
                f"timesfm: the weights in {folder!r} lack "
                f"{', '.join(sorted(report['missing_keys'])[:3])} and perhaps more: "
                f"the download is not whole. {REMEDY}"
            )
        frozen = model.decoder.eval().requires_grad_(requires_grad=False)
        return cls(frozen.to(device), device)

    @property
    def width(self) -> int:
        """Numbers that describe a series."""
        return int(self.model.config.hidden_size)

    @torch.no_grad()
    def __call__(self, series: Tensor) -> Tensor:
        """Describe series (N, L) by (N, width), always the same number at a time.

        The last bits of a product of matrices depend on their size, and a row's state
        must not depend on how many rows there are: the last part is filled up with
        copies of its first series. Missing bars in front of a whole number of patches
        are marked as padding.
        """
        if not len(series):
            return series.new_zeros(0, self.width)
        lacking = -len(series) % _WINDOWS_AT_ONCE
        whole = torch.cat([series, series[:1].expand(lacking, -1)])
        some = torch.split(whole, _WINDOWS_AT_ONCE)
        return torch.cat([self._described(part) for part in some])[: len(series)]

    def _described(self, series: Tensor) -> Tensor:
        n_padded = -series.shape[1] % int(self.model.config.patch_length)
        values = torch.nn.functional.pad(series, (n_padded, 0))
        padding = torch.zeros_like(values)
        padding[:, :n_padded] = 1
        kind = torch.full((len(series), 1), _HIGH_FREQUENCY, device=series.device)
        states = self.model(past_values=values, past_values_padding=padding, freq=kind)
        last: Tensor = states.last_hidden_state[:, -1].float()
        return last


def _check_kind(folder: Path) -> None:
    try:
        kind = json.loads((folder / CONFIG).read_text("utf-8")).get("model_type")
    except (ValueError, AttributeError) as error:
        raise UserError(
            f"timesfm: {folder / CONFIG} is no model configuration. {REMEDY}"
        ) from error
    if kind != _MODEL_TYPE:
        raise UserError(
            f"timesfm: {folder / CONFIG} describes a model of type {kind!r}, not "
            f"{_MODEL_TYPE!r}. {REMEDY}"
        )
