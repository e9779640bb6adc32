"""LightGBM text: a model file is whole before the native parser sees it."""

from __future__ import annotations

import re
from pathlib import Path

from ranking_pipeline.errors import UserError

_SIZES = re.compile(rb"\ntree_sizes=([\d ]*)\n\n")
_ENDS = (b"end of trees\n", b"\nend of parameters\n", b"\npandas_categorical:")


def check_whole(path: Path) -> None:
    """Refuse a text that was cut: LightGBM's parser ends the process on one.

    The head tells how many bytes each tree has; they are all there, each begins with
    its number, and what follows the trees is there to its last line.

    Raises
    ------
    UserError
        Naming the file and what it lacks.
    """
    content = path.read_bytes()
    sizes = _SIZES.search(content)
    if sizes is None:
        raise UserError(f"{path} is no whole model of LightGBM: no tree_sizes.")
    place = sizes.end()
    for number, size in enumerate(map(int, sizes[1].split())):
        if not content.startswith(b"Tree=%d\n" % number, place):
            raise UserError(f"{path} is cut or altered: no tree {number} at {place}.")
        place += size
    for end in _ENDS:
        found = content.find(end, place)
        if found < 0 or (end is _ENDS[0] and found != place):
            raise UserError(f"{path} is cut: no {end.decode().strip()!r} at its place.")
        place = found
    if not content.endswith(b"\n"):
        raise UserError(f"{path} is cut: its last line does not end.")
