"""Artefacts: compare what two runs made, by the digests of its content."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ranking_pipeline.audit.check import Check, counted


def compare_digests(
    check: str,
    honest: Mapping[str, str],
    altered: Mapping[str, str],
    *,
    must_differ: Collection[str] = (),
    what: str = "",
) -> Check:
    """Compare the artefacts of a run with those of a run on other later bars.

    Parameters
    ----------
    check : str
        The claim.
    honest, altered : mapping of str to str
        SHA-256 of each artefact by name: of the run on the bars as they are, and of the
        run on bars whose future is another one.
    must_differ : collection of str
        Artefacts that hold later bars, too. Where one of them is the same in both runs,
        the alteration did not arrive, and the comparison would say nothing.
    what : str
        What was compared; the names by default.

    Returns
    -------
    Check
        An artefact that only one of the runs made is a difference.
    """
    names = sorted({*honest, *altered} - set(must_differ))
    changed = [name for name in names if honest.get(name) != altered.get(name)]
    idle = [name for name in must_differ if honest.get(name) == altered.get(name)]
    parts = [f"{', '.join(changed)} changed"] if changed else []
    parts += [f"the other bars did not reach {', '.join(sorted(idle))}"] if idle else []
    return counted(
        check,
        what or ", ".join(names),
        "artefacts",
        len(names) + len(must_differ),
        len(changed) + len(idle),
        "; ".join(parts),
    )
