"""CostsDataset: what a stage's jobs took, kept apart from what they found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ranking_pipeline.datasets.plain_file import PlainFileDataset
from ranking_pipeline.errors import UserError
from ranking_pipeline.storage import write_json

if TYPE_CHECKING:
    from kedro_datasets._typing import JSONPreview

Costs = list[dict[str, Any]]


class CostsDataset(PlainFileDataset[Costs, Costs]):
    """Seconds, memory and cache hits of the stage's last run; empty when it never ran.

    Clocks differ from run to run, so this is no artefact: nothing is made from it but
    the page that shows it, and no digest of a run covers it.

    Parameters
    ----------
    filepath : str
        JSON file.
    """

    def save(self, data: Costs) -> None:
        """Replace the file."""
        write_json(self._filepath, data)

    def load(self) -> Costs:
        """Read the file, or give an empty list where there is none."""
        if not self._filepath.exists():
            return []
        try:
            costs: Costs = json.loads(self._filepath.read_text("utf-8"))
        except ValueError as error:
            raise UserError(
                f"{self._filepath} is damaged ({error}). Delete it: it only tells what "
                "the jobs of the stage took."
            ) from None
        return costs

    def preview(self) -> JSONPreview:
        """Return the costs for kedro-viz."""
        return json.dumps(self.load())
