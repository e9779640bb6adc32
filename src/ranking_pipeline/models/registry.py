"""Registry: model families by name, imported only when they are asked for."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

from pydantic import ValidationError

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError
from ranking_pipeline.models.base import BaseModel

FamilyType = TypeVar("FamilyType", bound=type[BaseModel])

TASKS = frozenset({"regression", "binary", "three_class"})
_DECLARED: Mapping[str, type] = {
    "family": str,
    "description": str,
    "device": str,
    "tasks": frozenset,
    "sequence": bool,
    "config_type": type,
}


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
    """

    module: str
    group: str
    device: str
    sequence: bool
    aliases: tuple[str, ...] = ()
    tasks: frozenset[str] = TASKS


_ROOM = "ranking_pipeline.models.families"
_RETURNS = frozenset({"regression"})


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
    "low_rank": Listing(
        f"{_ROOM}.low_rank", "linear", "cpu", False, ("reducedrank",), _RETURNS
    ),
    "lightgbm_rank": Listing(
        f"{_ROOM}.lightgbm_rank",
        "boosting",
        "cpu",
        False,
        ("lambdarank", "lambdamart", "lgbmrank", "lgbmranker", "lightgbmranker"),
        _RETURNS,
    ),
    "xgboost_rank": Listing(
        f"{_ROOM}.xgboost_rank",
        "boosting",
        "cpu",
        False,
        ("xgbrank", "xgbranker", "xgboostranker"),
        _RETURNS,
    ),
    "mlp": Listing(f"{_ROOM}.mlp", "neural", "gpu", False, ("neuralnetwork", "nn")),
    "gru": _sequence(),
    "lstm": _sequence(),
    "alstm": _sequence("attentivelstm", "attentionlstm"),
    "tcn": _sequence("temporalconvolution"),
    "transformer": _sequence(),
    "mixer": _sequence("tsmixer", "mlpmixer"),
    "stock_transformer": _sequence(),
    "cross_stock": _sequence("crossstockattention"),
}
_registered: dict[str, type[BaseModel]] = {}


def register(cls: FamilyType) -> FamilyType:
    """Class decorator: make a family known under its ``family`` name.

    Raises
    ------
    TypeError
        When the class is no complete family: not a BaseModel, an abstract method left
        open, a class attribute missing or of the wrong kind; all faults at once.
    ValueError
        When another class already has the name; both places are named.
    """
    faults = _faults(cls)
    if faults:
        raise TypeError(f"{_place(cls)} is no complete family: " + "; ".join(faults))
    known = _registered.get(cls.family)
    if known is not None and not _same_definition(known, cls):
        raise ValueError(
            f"family {cls.family!r} is registered twice: by {_place(known)} "
            f"and by {_place(cls)}"
        )
    _registered[cls.family] = cls
    return cls


def names() -> tuple[str, ...]:
    """Names of all families, sorted; nothing is imported."""
    return tuple(sorted({*LISTINGS, *_registered}))


def listing(name: str) -> Listing:
    """Tell what is known of a family without importing it."""
    name = canonical(name)
    if name in LISTINGS:
        return LISTINGS[name]
    cls = _registered[name]
    return Listing(cls.__module__, "own", cls.device, cls.sequence, tasks=cls.tasks)


def family_type(name: str) -> type[BaseModel]:
    """Get the class of one family; imports the module of that family alone."""
    name = canonical(name)
    if name not in _registered:
        _import(LISTINGS[name].module, name)
    if name not in _registered:
        raise TypeError(f"{LISTINGS[name].module} does not register {name!r}")
    return _registered[name]


def families() -> dict[str, type[BaseModel]]:
    """Every family by name, sorted; this imports all of them, torch included."""
    return {name: family_type(name) for name in names()}


def canonical(name: str) -> str:
    """Find the name behind a spelling such as ``LightGBM``, ``lgbm`` or ``RF``.

    Raises
    ------
    UserError
        For an unknown name, with the nearest one and the list of those that exist.
    """
    group, _, short = str(name).rpartition(":")
    spelling = _plain(short)
    spellings = {_plain(known): known for known in names()}
    for known, entry in LISTINGS.items():
        spellings.update(dict.fromkeys(entry.aliases, known))
    found = spellings.get(spelling)
    if found is None or (group and _plain(group) != listing(found).group):
        near = difflib.get_close_matches(spelling, spellings, n=1)
        hint = f" Did you mean {spellings[near[0]]!r}?" if near else ""
        raise UserError(
            f"model family {name!r} does not exist.{hint} Available: "
            + ", ".join(names())
        )
    return found


def validate(family: str, parameters: Mapping[str, Any]) -> Config:
    """Make the typed configuration of a family.

    Raises
    ------
    UserError
        Naming every unknown, missing and refused key at once, and the valid ones.
    """
    name = canonical(family)
    config_type = family_type(name).config_type
    try:
        return config_type.model_validate(dict(parameters))
    except ValidationError as error:
        faults = "\n".join(_describe(fault) for fault in error.errors())
        raise UserError(
            f"parameters of model family {name!r}:\n{faults}\nValid keys: "
            + ", ".join(config_type.model_fields)
        ) from None


def create(
    family: str, parameters: Mapping[str, Any], seed: int, threads: int
) -> BaseModel:
    """Make an unfitted model of a family.

    Parameters
    ----------
    family
        Name or alias.
    parameters
        The family's whole parameter block; unknown and missing keys are refused.
    seed
        Fixes every random choice of the fit.
    threads
        How many threads the fit may use; the result does not depend on it.
    """
    return family_type(family)(validate(family, parameters), seed=seed, threads=threads)


def _import(module: str, name: str) -> None:
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("ranking_pipeline"):
            raise
        raise UserError(
            f"model family {name!r} needs the package {error.name!r}, which is not "
            f"installed. Install it or take {name!r} out of the list of families."
        ) from None


def _faults(cls: type) -> list[str]:
    if not (inspect.isclass(cls) and issubclass(cls, BaseModel)):
        return ["it does not derive from BaseModel"]
    open_methods = sorted(getattr(cls, "__abstractmethods__", ()))
    faults = [f"method {method!r} is not implemented" for method in open_methods]
    for attribute, kind in _DECLARED.items():
        value = getattr(cls, attribute, None)
        if not isinstance(value, kind):
            faults.append(f"attribute {attribute!r} is not a {kind.__name__}")
    if not faults:
        faults += _wrong_values(cls)
    return faults


def _wrong_values(cls: type[BaseModel]) -> list[str]:
    faults = []
    if cls.device not in {"cpu", "gpu"}:
        faults.append(f"device {cls.device!r} is neither 'cpu' nor 'gpu'")
    if not cls.tasks or not cls.tasks <= TASKS:
        faults.append(f"tasks {sorted(cls.tasks)} are not among {sorted(TASKS)}")
    if not issubclass(cls.config_type, Config):
        faults.append("config_type does not derive from Config")
    listed = LISTINGS.get(cls.family)
    declared = (cls.device, cls.sequence)
    if listed is not None and (listed.device, listed.sequence) != declared:
        faults.append("device or sequence differs from the listing in registry.py")
    return faults


def _same_definition(known: type, cls: type) -> bool:
    """Whether a module was merely reloaded, as notebooks do."""
    local = "<locals>" in cls.__qualname__
    same = (known.__module__, known.__qualname__) == (cls.__module__, cls.__qualname__)
    return same and not local


def _place(cls: type) -> str:
    try:
        line = inspect.getsourcelines(cls)[1]
        return f"{cls.__qualname__} ({inspect.getsourcefile(cls)}:{line})"
    except (OSError, TypeError):
        return f"{cls.__module__}.{cls.__qualname__}"


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _describe(fault: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    kind = fault["type"]
    if kind == "extra_forbidden":
        return f"  {key}: unknown key"
    if kind == "missing":
        return f"  {key}: missing"
    return f"  {key}: {fault['msg']} (given: {fault['input']!r})"
