"""Described targets: what the target manifest says, without any other table."""

from __future__ import annotations

import pandas as pd

from ranking_pipeline.errors import UserError


class DescribedTargets:
    """Data with a target manifest, loaded or not.

    Attributes
    ----------
    targets : DataFrame
        The target manifest.
    """

    targets: pd.DataFrame

    @property
    def candidate_targets(self) -> tuple[str, ...]:
        """Targets of the manifest that are not carried along as payoffs only."""
        listed = self.targets["is_target"].astype(bool)
        return tuple(self.targets.loc[listed, "target"])

    def describe(self, target: str) -> pd.Series:
        """Manifest row of a target.

        Raises
        ------
        UserError
            When the manifest does not have it once.
        """
        rows = self.targets[self.targets["target"] == target]
        if len(rows) != 1:
            raise UserError(
                f"target {target!r} is not in target_manifest; it has "
                + ", ".join(map(str, self.targets["target"]))
            )
        return rows.iloc[0]
