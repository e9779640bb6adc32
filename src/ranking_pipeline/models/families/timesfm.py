"""The timesfm family: a small head on a frozen, pretrained encoder of series."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch

from ranking_pipeline.config import Config
from ranking_pipeline.learning.channels import CLOSE
from ranking_pipeline.learning.device import resolve_device, torch_threads
from ranking_pipeline.learning.windows import Inputs, ResidentRows
from ranking_pipeline.models.families.sequence import SequenceModel
from ranking_pipeline.models.neural_config import TimesFmConfig
from ranking_pipeline.models.registry import register
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.timesfm_encoder import TimesFmEncoder
from ranking_pipeline.models.timesfm_files import check_files, weight_files

_ROWS_AT_ONCE = 4096


@register
class TimesFmModel(SequenceModel):
    """A perceptron on what TimesFM (Das et al., 2024) sees in a window of closes.

    The encoder is frozen: it describes each window once, and the loop trains the head
    on descriptions that are standardised by the training rows. The encoder's weights
    stay in their folder; the saved model knows their SHA-256 and refuses others.
    """

    family: ClassVar[str] = "timesfm"
    description: ClassVar[str] = "head on a pretrained TimesFM encoder (transformers)"
    config_type: ClassVar[type[Config]] = TimesFmConfig
    extra: ClassVar[str] = "timesfm"
    network: ClassVar[str] = "mlp"

    _encoder: TimesFmEncoder | None = None
    _seen: tuple[Samples, npt.NDArray[np.float32]] | None = None

    @classmethod
    def load(cls, folder: Path, config: Config, *, seed: int, threads: int) -> Self:
        """Read the head; refuse an encoder that is not the one it was trained on."""
        model = super().load(folder, config, seed=seed, threads=threads)
        check_files(model.config.weights, model._facts["encoder_files"])
        return model

    def _fit_inputs(self, train: Samples) -> dict[str, Any]:
        self._facts = super()._fit_inputs(train)
        self._facts["encoder_files"] = weight_files(self.config.weights)
        with torch_threads(1):
            values = self._described(train)
        known = values[np.isfinite(values).all(axis=1)].astype(np.float64)
        mean = known.mean(axis=0) if len(known) else np.zeros(values.shape[1])
        deviation = known.std(axis=0) if len(known) else np.ones(values.shape[1])
        self._seen = train, values
        return self._facts | {
            "state_mean": mean.tolist(),
            "state_deviation": np.where(deviation > 0, deviation, 1.0).tolist(),
        }

    def _inputs(self, rows: Samples, symbols: npt.NDArray[np.intp]) -> Inputs:
        known = self._seen is not None and self._seen[0] is rows
        values = self._seen[1] if known and self._seen else self._described(rows)
        self._seen = None  # what a fit described once is not kept
        mean = np.array(self._facts["state_mean"])
        scaled = (values - mean) / np.array(self._facts["state_deviation"])
        kept = np.isfinite(scaled).all(axis=1)
        shape = (rows.panel.n_bars, int(symbols.max(initial=0)) + 1)
        return ResidentRows.build(
            scaled[kept].astype(np.float32),
            rows.bars[kept],
            symbols[kept],
            shape,
            resolve_device(self.config.device),
        )

    def _described(self, rows: Samples) -> npt.NDArray[np.float32]:
        """States of the rows' windows, shape (n, width); NaN without a window."""
        _, symbols = np.unique(rows.symbols, return_inverse=True)
        windows = super()._inputs(rows, symbols)
        if self._encoder is None:
            device = resolve_device(self.config.device)
            self._encoder = TimesFmEncoder.read(self.config.weights, device)
        complete = np.flatnonzero(windows.valid[rows.bars, symbols])
        found = np.full((len(rows), self._encoder.width), np.nan, dtype=np.float32)
        for first in range(0, len(complete), _ROWS_AT_ONCE):
            part = complete[first : first + _ROWS_AT_ONCE]
            cells = (torch.from_numpy(a[part]).long() for a in (symbols, rows.bars))
            places = [cell.to(windows.device) for cell in cells]
            closes = windows.windows(places[0], places[1])[:, :, CLOSE]
            found[part] = self._encoder(closes).cpu().numpy()
        return found
