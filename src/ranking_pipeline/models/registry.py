"""Registry: model families by name, imported only when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError
from ranking_pipeline.models import extras, listings
from ranking_pipeline.models.base import BaseModel
from ranking_pipeline.models.entry_points import PlugIn, plug_ins
from ranking_pipeline.models.family_checks import faults_of, place_of, same_definition
from ranking_pipeline.models.family_names import Known, find
from ranking_pipeline.wording import fault_key, fault_text

if TYPE_CHECKING:
    from ranking_pipeline.models.family_list import FamilyInfo

FamilyType = TypeVar("FamilyType", bound=type[BaseModel])
Listing = listings.Listing
LISTINGS = listings.LISTINGS
SEQUENCE = "sequence"
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
    faults = faults_of(cls)
    faults += [] if faults else _unlike_listing(cls)
    if faults:
        raise TypeError(f"{place_of(cls)} is no complete family: " + "; ".join(faults))
    known = _registered.get(cls.family)
    if known is not None and not same_definition(known, cls):
        raise ValueError(
            f"family {cls.family!r} is registered twice: by {place_of(known)} "
            f"and by {place_of(cls)}"
        )
    _registered[cls.family] = cls
    return cls


def names() -> tuple[str, ...]:
    """Names of all families, sorted; nothing is imported."""
    brought = (plug_in.name for plug_in in plug_ins())
    return tuple(sorted({*LISTINGS, *_registered, *brought}))


def list_models(group: str | None = None) -> dict[str, FamilyInfo]:
    """Canonical names, and what is known of each family; nothing is imported.

    Raises
    ------
    UserError
        For a group that does not exist, with the list of those that do.
    """
    from ranking_pipeline.models.family_list import describe

    rows = {name: describe(name) for name in names()}
    groups = sorted({one for name in rows for one in groups_of(name)})
    if group is not None and group not in groups:
        raise UserError(
            f"there is no group {group!r} of model families. Available: "
            + ", ".join(groups)
        )
    return {
        name: row
        for name, row in rows.items()
        if group is None or group in groups_of(name)
    }


def listing(name: str) -> Listing:
    """Tell what is known of a family; only one of another package is imported."""
    name = canonical(name)
    if name in LISTINGS:
        return LISTINGS[name]
    cls, group = family_type(name), group_of(name)
    return Listing(
        cls.__module__,
        group,
        cls.device,
        cls.sequence,
        tasks=cls.tasks,
        weighted=cls.weighted,
        ranks=cls.ranks,
        multi_target=cls.multi_target,
    )


def group_of(name: str) -> str:
    """Group of a canonical name: ``plugin`` from another package, ``own`` from code."""
    if name in LISTINGS:
        return LISTINGS[name].group
    return "plugin" if _brought(name) else "own"


def groups_of(name: str) -> tuple[str, ...]:
    """All groups of a canonical name: families on windows of bars are ``sequence`` too."""
    windows = name in LISTINGS and LISTINGS[name].sequence
    return (group_of(name), SEQUENCE) if windows else (group_of(name),)


def module_of(name: str) -> tuple[str, str]:
    """Module behind a canonical name, and the name of the class where it is known."""
    if name in LISTINGS:
        return LISTINGS[name].module, ""
    for plug_in in _brought(name):
        return plug_in.module, plug_in.attribute
    return _registered[name].__module__, _registered[name].__name__


def places(name: str) -> list[str]:
    """Everything that claims a canonical name: modules, and packages not ours."""
    ours = [LISTINGS[name].module] if name in LISTINGS else []
    claims = [*ours, *(plug_in.place for plug_in in _brought(name))]
    return claims or [place_of(_registered[name])]


def loaded(name: str) -> type[BaseModel] | None:
    """Get the class of a canonical name if it has been imported already."""
    return _registered.get(name)


def family_type(name: str) -> type[BaseModel]:
    """Get the class of one family; imports the module of that family alone.

    Raises
    ------
    UserError
        For an unknown or ambiguous name, a name that two packages claim, a package that
        cannot be loaded, or an optional package that is not installed.
    """
    name = canonical(name)
    if name not in _registered:
        if name in LISTINGS:
            _import(LISTINGS[name].module, name)
        else:
            _load(_brought(name)[0])
    if name not in _registered:
        raise TypeError(f"{places(name)[0]} does not register {name!r}")
    extras.require(name, _registered[name].extra)
    return _registered[name]


def families() -> dict[str, type[BaseModel]]:
    """Every family by name, sorted; this imports all of them, torch included."""
    return {name: family_type(name) for name in names()}


def canonical(name: str) -> str:
    """Find the name behind a spelling such as ``LightGBM``, ``boosting:lgbm`` or ``RF``.

    Raises
    ------
    UserError
        For an unknown name, with the nearest one and the list of those that exist; for
        a short name of several families, with their full names; for a name that two
        packages claim, with both places.
    """
    if name in LISTINGS and not _brought(name):
        return name
    known = {one: Known(groups_of(one), _aliases(one)) for one in names()}
    found = find(str(name), known)
    claims = places(found)
    if len(claims) > 1:
        raise UserError(
            f"model family {found!r} is given twice: by {' and by '.join(claims)}. "
            "Rename the family of the package, or uninstall the package."
        )
    return found


def _aliases(name: str) -> tuple[str, ...]:
    return LISTINGS[name].aliases if name in LISTINGS else ()


def _brought(name: str) -> list[PlugIn]:
    """Entry points of other packages that claim a name."""
    return [plug_in for plug_in in plug_ins() if plug_in.name == name]


def _load(plug_in: PlugIn) -> None:
    """Import a family of another package and register its class.

    Raises
    ------
    UserError
        When it cannot be imported, or is no complete family of that name.
    """
    cls = plug_in.load()
    try:
        if cls is not None:
            register(cls)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"model family {plug_in.name!r} of {plug_in.place}: {error}"
        ) from None
    if plug_in.name not in _registered:
        brought = "none" if cls is None else repr(cls.family)
        raise UserError(
            f"{plug_in.place} promises the model family {plug_in.name!r} and brings "
            f"{brought}. The name of an entry point is that of its family."
        )


def block_of(
    blocks: Mapping[str, Mapping[str, Any]], family: str
) -> Mapping[str, Any] | None:
    """Parameter block of a family, under any spelling of its name; None: there is none.

    Raises
    ------
    UserError
        For an unknown family, also among the names of the blocks.
    """
    if family in blocks:
        return blocks[family]
    wanted = canonical(family)
    own = [block for name, block in blocks.items() if canonical(name) == wanted]
    return own[0] if own else None


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
    family: str,
    parameters: Mapping[str, Any],
    seed: int,
    threads: int,
    *,
    task: str | None = None,
    features: Sequence[str] | None = None,
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
    task, features
        What the model is for; where given, an unsuitable task and an empty or repeating
        list of features are refused now instead of at the fit.

    Raises
    ------
    UserError
        Naming everything that is wrong with the parameters, the task and the features.
    """
    cls, faults = family_type(family), []
    if task is not None and task not in cls.tasks:
        faults.append(f"task {task!r} is not one of {sorted(cls.tasks)}")
    if features is not None and not cls.sequence:
        faults += _feature_faults(features)
    try:
        config = validate(family, parameters)
    except UserError as error:
        faults.append(str(error))
    if faults:
        raise UserError(f"{cls.family} cannot be made: " + "; ".join(faults))
    return cls(config, seed=seed, threads=threads)


def _feature_faults(features: Sequence[str]) -> list[str]:
    twice = sorted({name for name in features if list(features).count(name) > 1})
    if twice:
        return [f"features given twice: {', '.join(twice)}"]
    return [] if features else ["there are no features"]


def _unlike_listing(cls: type[BaseModel]) -> list[str]:
    listed = LISTINGS.get(cls.family)
    told = ("device", "sequence", "weighted", "tasks", "ranks", "multi_target")
    unlike = [
        name
        for name in told
        if listed is not None and getattr(listed, name) != getattr(cls, name)
    ]
    return [f"{name} differs from the listing in listings.py" for name in unlike]


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


def _describe(fault: Any) -> str:
    key = fault_key(fault)
    return f"  {key}: {fault_text(fault)}" if key else f"  {fault_text(fault)}"
