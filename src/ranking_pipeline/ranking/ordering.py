"""The order of each cross-section: places, average ranks, and who comes first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True)
class CrossSectionOrder:
    """The names of each bar from the highest value to the lowest.

    Equal values are ordered by slot, the lower one first; slots outside the mask come
    last.

    Attributes
    ----------
    slots : Tensor of int64, shape (B, M)
        Slot at each place.
    centred : Tensor of float64, shape (B, M)
        Twice the distance of each slot's rank from the mean rank; equal values share
        their mean rank; 0 outside the mask. Twice, because the values are then whole
        numbers, whose sums have no rounding.
    mask : Tensor of bool, shape (B, M)
    count : Tensor of int64, shape (B,)
        Names n of each bar.
    """

    slots: Tensor
    centred: Tensor
    mask: Tensor
    count: Tensor

    @property
    def ranks(self) -> Tensor:
        """Rank of each slot from 1, the lowest value, to n; 0 outside the mask."""
        ranks = (self.centred + (self.count + 1).unsqueeze(1)) / 2
        return torch.where(self.mask, ranks, 0.0)

    def first(self, size: Tensor) -> Tensor:
        """Mark the ``size`` (B,) highest names of each bar, (B, M)."""
        return self._between(torch.zeros_like(size), size)

    def last(self, size: Tensor) -> Tensor:
        """Mark the ``size`` (B,) lowest names of each bar, (B, M)."""
        return self._between(self.count - size, self.count)

    def _between(self, start: Tensor, stop: Tensor) -> Tensor:
        place = torch.arange(self.slots.shape[1], device=self.slots.device)
        inside = (place >= start.unsqueeze(1)) & (place < stop.unsqueeze(1))  # (B, M)
        return torch.zeros_like(inside).scatter(1, self.slots, inside)


def order_of(values: Tensor, mask: Tensor) -> CrossSectionOrder:
    """Order the names of each bar, highest value first.

    Parameters
    ----------
    values : Tensor, shape (B, M)
        Finite where ``mask`` is set; anything elsewhere.
    mask : Tensor of bool, shape (B, M)

    Notes
    -----
    Nothing is read back from a device. On the CPU numpy sorts: the same order, several
    times faster than torch's own sort there.
    """
    values = values.detach()
    known = values if values.dtype == torch.float32 else values.double()
    keys = torch.where(mask, -known, torch.inf)
    count = mask.sum(dim=1)
    if keys.device.type == "cpu":
        found = host_order(keys.numpy(), count.numpy())
        slots, centred = (torch.from_numpy(part) for part in found)
    else:
        slots, centred = _device_order(keys, count)
    return CrossSectionOrder(slots, centred, mask, count)


def _device_order(keys: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Slots by ascending key, and the centred rank of each slot, (B, M) each."""
    ordered, slots = keys.sort(dim=1, stable=True)
    place = torch.arange(keys.shape[1], device=keys.device).expand_as(slots)
    new = torch.ones_like(ordered, dtype=torch.bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    end = torch.ones_like(new)
    end[:, :-1] = new[:, 1:]
    first = torch.where(new, place, 0).cummax(dim=1).values
    last = torch.where(end, place, keys.shape[1]).flip(1).cummin(dim=1).values.flip(1)
    total = count.unsqueeze(1)
    centred = torch.where(place < total, total - 1 - first - last, 0).double()
    return slots, torch.zeros_like(centred).scatter(1, slots, centred)


def host_order(
    keys: FloatArray, count: IntArray
) -> tuple[IntArray, npt.NDArray[np.float64]]:
    """Do on the host what :func:`_device_order` does; only equal values pay for ties.

    Parameters
    ----------
    keys : ndarray, shape (B, M)
        Minus the values; infinite outside the mask.
    count : ndarray of int, shape (B,)
        Names of each bar.

    Returns
    -------
    slots, centred : ndarrays, shape (B, M)
        See :class:`CrossSectionOrder`.
    """
    slots = np.argsort(keys, axis=1).astype(np.int64, copy=False)
    ordered = np.take_along_axis(keys, slots, axis=1)
    place = np.arange(keys.shape[1], dtype=np.float64)
    values = (count[:, None] - 1.0) - 2.0 * place  # (B, M), at places
    values[place >= count[:, None]] = 0.0
    equal = np.zeros(keys.shape, dtype=np.bool_)
    equal[:, 1:] = (ordered[:, 1:] == ordered[:, :-1]) & (place[1:] < count[:, None])
    repeats = np.flatnonzero(equal)  # flattened places equal to the one before
    if len(repeats):
        _settle_ties(slots.reshape(-1), values.reshape(-1), repeats)
    centred = np.empty(keys.shape)
    np.put_along_axis(centred, slots, values, axis=1)
    return slots, centred


def _settle_ties(
    slots: IntArray, values: npt.NDArray[np.float64], repeats: npt.NDArray[np.intp]
) -> None:
    """Sort each run of equal values by slot and share its mean, in place.

    The first place of a row never repeats the one before, so that a run ends with it.
    """
    starts = np.flatnonzero(np.diff(repeats, prepend=-2) != 1)  # runs, in repeats
    sizes = np.diff(np.append(starts, len(repeats))) + 1
    first = repeats[starts] - 1
    run = np.repeat(np.arange(len(first)), sizes)
    inside = np.arange(len(run)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    places = first[run] + inside
    # One sort of whole numbers puts every run in the order of its slots.
    slots[places] = np.sort(run << 32 | slots[places]) & 0xFFFFFFFF
    shared = (values[first] + values[first + sizes - 1]) / 2
    values[places] = shared[run]
