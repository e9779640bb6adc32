"""The audit of a function: what it compares, counts and names."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.audit import worlds

from ranking_pipeline.audit.check import UNSTEADY, check_of
from ranking_pipeline.audit.cuts import Cut, cuts
from ranking_pipeline.audit.futures import MODES, TRUNCATED
from ranking_pipeline.audit.lookahead import audit_function, audit_past, differs
from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import Panel
from ranking_pipeline.splits import Splits

S, T = 5, 40
CUTS = (Cut(9, "first"), Cut(20, "second"))


@pytest.fixture(scope="module")
def panel() -> Panel:
    return worlds.panel_of(worlds.walk(np.random.default_rng(2), (S, T)))


def own(panel: Panel) -> np.ndarray:
    return np.stack([panel.field("close"), panel.field("open")], axis=-1)


def ahead_by(bars: int) -> Callable[[Panel], np.ndarray]:
    """The first column sees ``bars`` bars ahead, the second none."""

    def compute(panel: Panel) -> np.ndarray:
        close = panel.field("close")
        later = np.full_like(close, np.nan)
        later[:, : close.shape[1] - bars] = close[:, bars:]
        return np.stack([later, close], axis=-1)

    return compute


def test_cells_are_compared_to_the_bit() -> None:
    zero = np.array([0.0, 0.0, 1.0, np.nan, np.nan], dtype=np.float32)
    other = zero.copy()
    other[1] = -0.0
    other[2] = np.nextafter(np.float32(1.0), np.float32(2.0))
    other.view(np.uint32)[3] |= 1  # another payload of a missing value
    other[4] = 0.0
    assert differs(zero, other).tolist() == [False, True, True, False, True]
    assert differs(zero.astype("f8"), zero.astype("f8")).sum() == 0


def test_other_kinds_are_compared_as_such() -> None:
    assert differs(np.array([1, 2]), np.array([1, 3])).tolist() == [False, True]
    with pytest.raises(UserError, match=r"float32 .* float64"):
        differs(np.zeros(1, "f4"), np.zeros(1, "f8"))


def test_an_honest_function_is_clean_and_its_cells_are_counted(panel: Panel) -> None:
    result = audit_function(own, panel, CUTS, MODES, ["close", "open"])
    assert result.compared == S * (10 + 21) * 2 * len(MODES)
    assert result.known == result.compared
    assert result.clean
    assert result.flagged == ()
    assert result.worst is None
    assert str(result).endswith("10 ways, 0 differ")


def test_a_leak_is_counted_and_named(panel: Panel) -> None:
    result = audit_function(
        ahead_by(1), panel, CUTS, [TRUNCATED, "scaled"], ["later", "close"]
    )
    # Only the bar of the cut itself sees beyond the cut.
    assert result.different.tolist() == [[[S, S], [S, S]], [[0, 0], [0, 0]]]
    assert (result.n_different, result.flagged, result.clean) == (4 * S, ("later",), 0)
    worst = result.worst
    assert worst is not None
    assert (worst.column, worst.symbol, worst.mode) == ("later", "S000", TRUNCATED)
    assert (worst.cut, worst.bar) == (CUTS[0], 9)
    assert worst.value == pytest.approx(float(panel.field("close")[0, 10]))
    assert np.isnan(worst.altered)
    text = "later of S000 at 2018-01-12T21:00 is "
    assert str(worst).startswith(text)
    assert str(worst).endswith(
        "when after 2018-01-12T21:00 (first) the panel is cut off"
    )
    table = result.table().set_index("column")
    assert table.loc["later", ["cells_different", "cuts"]].tolist() == [4 * S, 2]
    assert table.loc["later", "ways"] == "truncated, scaled"
    assert table.loc["close", "first"] == ""


def test_the_worst_column_has_the_most_cells(panel: Panel) -> None:
    def both(panel: Panel) -> np.ndarray:
        little = ahead_by(1)(panel)[:, :, 0]
        much = ahead_by(4)(panel)[:, :, 0]
        return np.stack([little, much], axis=-1)

    result = audit_function(both, panel, CUTS, ["scaled"], ["little", "much"])
    assert result.worst is not None
    assert (result.worst.column, result.worst.bar) == ("much", 6)


@pytest.mark.parametrize(("allowed", "wrong"), [(2, 1), (3, 0), (4, 0)])
def test_a_label_may_see_its_own_window(panel: Panel, allowed: int, wrong: int) -> None:
    result = audit_function(
        ahead_by(3), panel, CUTS, ["scaled"], ["y", "x"], reach=[allowed, 0]
    )
    assert result.n_different == wrong * S * len(CUTS)
    assert result.compared == S * ((10 + 21 - 2 * allowed) + (10 + 21))


def test_below_zero_later_bars_may_not_change_either(panel: Panel) -> None:
    def behind(panel: Panel) -> np.ndarray:
        close = panel.field("close")
        return np.concatenate([close[:, :3] * np.nan, close[:, :-3]], axis=1)

    clean = audit_function(behind, panel, CUTS, ["scaled"], ["x"], reach=[-3])
    assert clean.clean
    assert clean.compared == S * (13 + 24)
    assert clean.known == S * (10 + 21)
    assert not audit_function(behind, panel, CUTS, ["scaled"], ["x"], reach=[-4]).clean


def test_ways_are_taken_in_turn(panel: Panel) -> None:
    modes = ["scaled", "missing", "constant"]
    result = audit_function(own, panel, CUTS, modes, ["a", "b"], modes_at_a_cut=2)
    assert (result.different[0] >= 0).tolist() == [
        [True, True, False],
        [True, False, True],
    ]


def test_a_function_that_breaks_on_another_future_is_a_finding(panel: Panel) -> None:
    def fragile(panel: Panel) -> np.ndarray:
        return panel.field("close") / panel.field("close")[:, 15][:, None]

    result = audit_function(fragile, panel, CUTS, [TRUNCATED, "scaled"], ["x"])
    assert not result.clean
    assert result.failure.startswith("IndexError at bar 9, truncated")
    assert "not finished" in str(result)


def test_another_shape_is_refused(panel: Panel) -> None:
    with pytest.raises(UserError, match=r"shape \(5, 39, 1\)"):
        audit_function(lambda p: p.field("close")[:, 1:], panel, CUTS, MODES, ["x"])


def test_nothing_compared_is_not_clean(panel: Panel) -> None:
    assert not audit_function(own, panel, (), MODES, ["a", "b"]).clean


@pytest.mark.parametrize(("declared", "enough"), [(4, False), (5, True), (9, True)])
@pytest.mark.parametrize("mode", [TRUNCATED, "random_walk", "missing"])
def test_the_declared_look_back_must_suffice(
    panel: Panel, declared: int, enough: bool, mode: str
) -> None:
    def momentum(panel: Panel) -> np.ndarray:
        close = panel.field("close")
        before = np.full_like(close, np.nan)
        before[:, 5:] = close[:, :-5]
        return close / before

    result = audit_past(momentum, panel, CUTS, [mode], ["momentum"], [declared])
    assert result.clean == enough
    assert result.compared == S * sum(T - cut.bar - declared for cut in CUTS)
    if not enough:
        assert result.worst is not None
        assert (result.worst.bar, result.worst.side) == (CUTS[0].bar + 4, "before")


def test_a_running_sum_is_not_window_local(panel: Panel) -> None:
    """What a cumulative sum leaves in the last bits is found, too."""

    def rolling(panel: Panel) -> np.ndarray:
        total = np.cumsum(np.log(panel.field("close").astype(np.float64)), axis=1)
        mean = np.full_like(total, np.nan)
        mean[:, 5:] = (total[:, 5:] - total[:, :-5]) / 5
        return mean

    result = audit_past(rolling, panel, CUTS, [TRUNCATED], ["mean"], [5])
    assert not result.clean
    assert result.worst is not None
    assert result.worst.value == pytest.approx(result.worst.altered, rel=1e-9)


def test_a_random_factor_is_told_from_one_that_looks_ahead(
    example: tuple[Panel, Splits],
) -> None:
    panel, random = example[0], np.random.default_rng()
    chosen = cuts(panel, None, 2, 0, at_most=4)

    def two(altered: Panel) -> np.ndarray:
        close = altered.field("close").astype(float)
        return np.stack([close, random.normal(size=close.shape)], axis=-1)

    result = audit_function(two, panel, chosen, MODES, ["honest", "dice"])
    assert (result.n_different, result.unsteady) == (0, ("dice",))
    assert not result.clean
    assert "dice gives other values each time" in str(result)
    alone = audit_function(lambda p: two(p)[..., 0], panel, chosen, MODES, ["honest"])
    assert alone.clean
    assert alone.compared == result.compared
    check = check_of("claim", "two columns", result)
    assert (check.verdict, check.good) == (UNSTEADY, False)


def test_how_many_symbols_there_will_be_is_not_known(
    example: tuple[Panel, Splits],
) -> None:
    panel = example[0]
    chosen = cuts(panel, None, 2, 0, at_most=4)
    result = audit_function(
        lambda p: p.field("close") / p.n_symbols, panel, chosen, MODES, ["share"]
    )
    assert not result.clean
    assert result.table()["ways"].tolist() == ["universe"]
