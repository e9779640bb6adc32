"""Disagreements: inputs made from different things, and the stage that is behind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from kedro.framework.project import pipelines
from kedro.io import DataCatalog

from ranking_pipeline.datasets import ArtefactDataset
from ranking_pipeline.hooks.lineage import claims

Claims = Mapping[str, str]
_SHOWN = 4


def disputed(
    names: Iterable[str], catalog: DataCatalog
) -> dict[str, dict[str, list[str]]]:
    """Names that believe in each content of what the inputs disagree about."""
    claimed: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in names:
        for subject, digest in claims(name, catalog).items():
            claimed[subject][digest].append(name)
    return {name: digests for name, digests in claimed.items() if len(digests) > 1}


def disagreements(names: Iterable[str], catalog: DataCatalog) -> list[str]:
    """One line for each thing that inputs disagree about, with what to run again."""
    subjects = disputed(names, catalog)
    late = _late(names, subjects, catalog) if subjects else []
    return [
        f"The inputs disagree about {subject}: "
        + " and ".join(
            f"{', '.join(believers[:_SHOWN])} ({digest[:8]})"
            for digest, believers in sorted(digests.items())
        )
        + ". They come from different runs or parameters: run "
        f"`kedro run --pipelines={','.join(late or [_maker(subject)])}` again, and "
        "what follows it."
        for subject, digests in sorted(subjects.items())
    ]


def producer(name: str) -> str:
    """The smallest registered pipeline that makes ``name``."""
    makers = [
        (len(pipeline.nodes), key)
        for key, pipeline in pipelines.items()
        if name in pipeline.outputs() or name in pipeline.datasets() - pipeline.inputs()
    ]
    return min(makers)[1] if makers else "__default__"


def _late(
    names: Iterable[str], subjects: Iterable[str], catalog: DataCatalog
) -> list[str]:
    """Pipelines of what is behind its own ancestors, without those that follow them.

    An artefact is behind where one of its ancestors, as it is stored now, was made
    from another content than the artefact itself.
    """
    told = {name: claims(name, catalog) for name in names}
    for name in {ancestor for own in told.values() for ancestor in own} - told.keys():
        if name in catalog and isinstance(catalog[name], ArtefactDataset):
            told[name] = claims(name, catalog)
    late = {
        name
        for name, own in told.items()
        if not name.startswith("params:")
        and any(_contradict(told.get(one, {}), own, subjects) for one in own)
    }
    first = [name for name in late if not (told[name].keys() - {name}) & late]
    return sorted({producer(name) for name in first})


def _contradict(one: Claims, other: Claims, subjects: Iterable[str]) -> bool:
    common = one.keys() & other.keys()
    return any(name in common and one[name] != other[name] for name in subjects)


def _maker(subject: str) -> str:
    """What makes a dataset, or takes a parameter first."""
    if not subject.startswith("params:"):
        return producer(subject)
    section = subject.removeprefix("params:").split(".")[0]
    return {"data": "data_preparation", "run": "__default__"}.get(section, section)
