"""Listings: what is known of our families before any of them is imported."""

from __future__ import annotations

from dataclasses import dataclass

from ranking_pipeline.models.tasks import CLASSES, TASKS


@dataclass(frozen=True)
class Listing:
    """What is known of a family without importing it (and so without its library).

    Attributes
    ----------
    module
        Module whose import registers the family.
    group
        Kind of model; ``group:name`` is a valid spelling of the name.
    device
        ``cpu`` or ``gpu``: the training stage to which the family belongs.
    sequence
        Whether it learns from windows of bars instead of factors.
    aliases
        Other spellings, in lower case without separators.
    tasks
        What it can learn.
    weighted
        Whether it counts rows by their weights.
    ranks
        Whether it learns nothing but the order of the names of a bar.
    multi_target
        Whether it learns several targets at once.
    """

    module: str
    group: str
    device: str
    sequence: bool
    aliases: tuple[str, ...] = ()
    tasks: frozenset[str] = TASKS
    weighted: bool = True
    ranks: bool = False
    multi_target: bool = False


_ROOM = "ranking_pipeline.models.families"
_RETURNS = frozenset({"regression"})
_CLASSES = frozenset(CLASSES)


def _sequence(*aliases: str) -> Listing:
    """Listing of a network over windows of bars."""
    return Listing(f"{_ROOM}.sequence", "neural", "gpu", True, aliases)


LISTINGS: dict[str, Listing] = {
    "lightgbm": Listing(f"{_ROOM}.lightgbm", "boosting", "cpu", False, ("lgbm", "lgb")),
    "xgboost": Listing(f"{_ROOM}.xgboost", "boosting", "cpu", False, ("xgb",)),
    "random_forest": Listing(
        f"{_ROOM}.random_forest", "forest", "cpu", False, ("rf", "forest")
    ),
    "ridge": Listing(f"{_ROOM}.ridge", "linear", "cpu", False, ("linear",)),
    "catboost": Listing(f"{_ROOM}.catboost", "boosting", "cpu", False, ("cat",)),
    "hist_boosting": Listing(
        f"{_ROOM}.hist_boosting",
        "boosting",
        "cpu",
        False,
        ("hgb", "histgradientboosting", "histogramboosting"),
    ),
    "ngboost": Listing(
        f"{_ROOM}.ngboost", "boosting", "cpu", False, ("ngb",), _RETURNS
    ),
    "extra_trees": Listing(f"{_ROOM}.extra_trees", "forest", "cpu", False, ("et",)),
    "elastic_net": Listing(f"{_ROOM}.elastic_net", "linear", "cpu", False, ("enet",)),
    "logistic": Listing(
        f"{_ROOM}.logistic",
        "linear",
        "cpu",
        False,
        ("logit", "logisticregression"),
        _CLASSES,
    ),
    "low_rank": Listing(
        f"{_ROOM}.low_rank",
        "linear",
        "cpu",
        False,
        ("reducedrank",),
        _RETURNS,
        weighted=False,
    ),
    "lightgbm_rank": Listing(
        f"{_ROOM}.lightgbm_rank",
        "boosting",
        "cpu",
        False,
        ("lambdarank", "lambdamart", "lgbmrank", "lgbmranker", "lightgbmranker"),
        _RETURNS,
        ranks=True,
    ),
    "xgboost_rank": Listing(
        f"{_ROOM}.xgboost_rank",
        "boosting",
        "cpu",
        False,
        ("xgbrank", "xgbranker", "xgboostranker"),
        _RETURNS,
        ranks=True,
    ),
    "mlp": Listing(f"{_ROOM}.mlp", "neural", "gpu", False, ("neuralnetwork", "nn")),
    "vae": Listing(f"{_ROOM}.vae", "neural", "gpu", False, ("variationalautoencoder",)),
    "gan": Listing(
        f"{_ROOM}.gan", "neural", "gpu", False, ("wgan", "conditionalgan"), _RETURNS
    ),
    "meta_learning": Listing(
        f"{_ROOM}.meta_learning", "neural", "gpu", False, ("reptile",)
    ),
    "multi_task": Listing(
        f"{_ROOM}.multi_task", "neural", "gpu", False, multi_target=True
    ),
    "gru": _sequence(),
    "lstm": _sequence(),
    "alstm": _sequence("attentivelstm", "attentionlstm"),
    "tcn": _sequence("temporalconvolution"),
    "transformer": _sequence(),
    "mixer": _sequence("tsmixer", "mlpmixer"),
    "stock_transformer": _sequence(),
    "cross_stock": _sequence("crossstockattention"),
    "cnn1d": _sequence("cnn", "convolution"),
    "nhits": _sequence(),
    "tft": _sequence("temporalfusiontransformer"),
    "patchtst": _sequence("patchtransformer"),
    "timesfm": Listing(f"{_ROOM}.timesfm", "neural", "gpu", True),
    "tab_transformer": Listing(
        f"{_ROOM}.tab_transformer",
        "neural",
        "gpu",
        False,
        ("tabulartransformer", "fttransformer"),
    ),
}
