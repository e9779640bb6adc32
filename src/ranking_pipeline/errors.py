"""What a user can mend: the exception for it, and what the operating system refuses."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator

_ROOM = "Make room, then run again: what was finished before is kept"
_RIGHT = (
    "Give yourself the right to write there, or name another place in "
    "RANKING_PIPELINE_OUTPUT or data_root"
)
_IN_THE_WAY = "A file stands where a folder belongs, or the reverse: move it away"
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "Files may not grow that large here: raise the limit (ulimit -f)",
    errno.EACCES: _RIGHT,
    errno.EPERM: _RIGHT,
    errno.EROFS: _RIGHT,
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EISDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.EIO: "The disk cannot be read or written: look at it, or use another one",
}
# Libraries that are written in Rust tell the number in their text alone.
_IN_TEXT = re.compile(r"\(os error (\d+)\)")


class UserError(Exception):
    """A problem in the input, the configuration or a stored artefact.

    The message names the file or key, the offending value and the remedy; the shell
    prints it without a traceback.
    """


def refusal(error: BaseException) -> int | None:
    """Number (errno) of what the operating system refused; None for other errors."""
    number = error.errno if isinstance(error, OSError) else None
    found = _IN_TEXT.search(str(error)) if number is None else None
    number = int(found[1]) if found else number
    return number if number in _REMEDIES else None


def mendable(error: BaseException) -> str | None:
    """Tell in one line what a user can mend; None for a fault of the program.

    Parameters
    ----------
    error : BaseException
        Itself or one of its causes is a :class:`UserError`, or a refusal of the
        operating system.
    """
    for one in _causes(error):
        if isinstance(one, UserError):
            return str(one)
        number = refusal(one)
        if number is not None:
            place = getattr(one, "filename", None) or "A file of this run"
            return f"{place}: {os.strerror(number)}. {_REMEDIES[number]}."
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
