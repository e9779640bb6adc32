"""Edge cases and invariances that every loss must keep."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from losses_world import (
    POINTWISE,
    RANKING,
    USER,
    VARIANTS,
    day,
    loss_of,
    user_path,
    value_and_gradient,
)
from torch import Tensor

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.losses import loss_names, make_loss

ALL = list(VARIANTS)
SHIFT_INVARIANT = [n for n in RANKING if n not in {"mixture", "user", "user scalar"}]
FREE_OF_SCALE = ["ic", "spearman", "approx_ndcg", "neural_ndcg"]
ONLY_RANKS = [
    "pairwise",
    "pairwise all",
    "listwise",
    "listmle",
    "spearman",
    "lambdarank",
    "approx_ndcg",
    "neural_ndcg",
]
DIFFERENTIABLE = [n for n in ALL if n != "lambdarank"]


def test_every_loss_is_under_test() -> None:
    tested = {kind for kind, _ in VARIANTS.values() if ":" not in kind}
    assert tested | {"cross_entropy"} == set(loss_names())


def test_a_users_loss_is_in_the_type_of_the_scores() -> None:
    """Processes sum over days together: all must send the same type."""
    loss = make_loss(user_path("user_double"))
    scores, targets, mask = (part.clone() for part in day(1))
    scores = scores.float()
    value, _ = loss.per_day(scores, loss.tables(targets.float(), mask))
    assert value.dtype == torch.float32


@pytest.mark.parametrize("name", [n for n in ALL if "drawn" not in n])
def test_the_value_without_skill_is_that_of_equal_scores(name: str) -> None:
    """Some losses know it in closed form: a mixture need not compare all names."""
    _, targets, mask = day(1)
    mask[0, 20:] = False
    mask[1] = False
    loss = loss_of(name)
    tables = loss.tables(torch.where(mask, targets, 0.0), mask)
    zeros = torch.zeros_like(targets)
    value, counted = loss.per_day(zeros, tables)
    found = loss.without_skill(zeros, tables)
    if counted.any():
        torch.testing.assert_close(found[counted], value[counted])
    torch.testing.assert_close(found[[0, 2]], value[[0, 2]])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf, 1e30])
def test_padded_slots_change_nothing(name: str, poison: float) -> None:
    scores, targets, mask = day(1)
    mask[0, 20:] = False
    mask[2, ::3] = False
    clean, gradient = value_and_gradient(name, scores, targets, mask)
    dirty_scores = torch.where(mask, scores, poison)
    dirty_targets = torch.where(mask, targets, poison)
    dirty, dirty_gradient = value_and_gradient(name, dirty_scores, dirty_targets, mask)
    assert torch.equal(clean, dirty)
    assert torch.equal(gradient, dirty_gradient)
    assert (dirty_gradient[~mask] == 0).all()
    assert ((dirty_gradient != 0) & mask).any(dim=1).all()


def test_cross_entropy_ignores_padded_slots() -> None:
    rng = np.random.default_rng(3)
    scores = torch.tensor(rng.normal(size=(2, 5, 3)))
    classes = torch.tensor(rng.integers(0, 3, (2, 5))).double()
    mask = torch.ones(2, 5, dtype=torch.bool)
    mask[1, 2:] = False
    leaf = torch.where(mask[..., None], scores, math.nan).requires_grad_()
    value = make_loss("cross_entropy")(leaf, torch.where(mask, classes, 99.0), mask)
    value.backward()
    per_row = torch.nn.functional.cross_entropy(
        scores.flatten(0, 1), classes.long().flatten(), reduction="none"
    ).view(2, 5)
    expected = (per_row[0].mean() + per_row[1, :2].mean()) / 2
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)
    assert leaf.grad is not None
    assert (leaf.grad[~mask] == 0).all()


DEGENERATE = {
    "empty": lambda s, t, m: (s, t, torch.zeros_like(m)),
    "one name": lambda s, t, m: (s, t, m & (torch.arange(m.shape[1]) == 4)),
    "tied targets": lambda s, t, m: (s, torch.full_like(t, 0.3), m),
    "unknown targets": lambda s, t, m: (s, torch.full_like(t, math.nan), m),
}


def check_a_bad_day(name: str, bad: tuple[Tensor, Tensor, Tensor]) -> None:
    """0 with a graph alone; beside a good day as if it were not there."""
    good = day(5, days=1)
    value, gradient = value_and_gradient(name, *bad)
    assert value == 0
    assert (gradient == 0).all()
    for pair in (zip(good, bad, strict=True), zip(bad, good, strict=True)):
        both = [torch.cat(parts) for parts in pair]
        alone, alone_gradient = value_and_gradient(name, *good)
        mixed, mixed_gradient = value_and_gradient(name, *both)
        assert mixed.item() == pytest.approx(alone.item(), rel=1e-12)
        first = torch.equal(both[0][:1], good[0])
        kept, other = (0, 1) if first else (1, 0)
        torch.testing.assert_close(mixed_gradient[kept], alone_gradient[0])
        assert (mixed_gradient[other] == 0).all()


@pytest.mark.parametrize("name", [n for n in RANKING if n != "mixture"])
@pytest.mark.parametrize("case", DEGENERATE)
def test_a_day_without_order_is_zero_with_a_graph_and_not_counted(
    name: str, case: str
) -> None:
    check_a_bad_day(name, DEGENERATE[case](*day(6, days=1)))


@pytest.mark.parametrize("case", ["empty", "unknown targets"])
@pytest.mark.parametrize("name", [*POINTWISE, "mixture"])
def test_a_day_without_names_is_not_counted_by_pointwise_losses_either(
    name: str, case: str
) -> None:
    check_a_bad_day(name, DEGENERATE[case](*day(6, days=1)))


@pytest.mark.parametrize("case", DEGENERATE)
def test_a_mixture_of_ranking_losses_counts_no_day_without_order(case: str) -> None:
    bad = DEGENERATE[case](*day(6, days=1))
    loss = make_loss("mixture", terms={"listmle": 1.0, "spearman": 1.0})
    value, gradient = value_and_gradient(loss, *bad)
    assert value == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("name", FREE_OF_SCALE)
def test_tied_scores_have_no_scale_and_are_not_counted(name: str) -> None:
    scores, targets, mask = day(9, days=1)
    for constant in (0.0, 0.25, -0.1, 1e4):
        check_a_bad_day(name, (torch.full_like(scores, constant), targets, mask))


@pytest.mark.parametrize("name", [n for n in ALL if n not in FREE_OF_SCALE])
def test_tied_scores_are_pulled_apart_in_the_right_direction(name: str) -> None:
    _, targets, mask = day(9, days=2)
    _, gradient = value_and_gradient(name, torch.zeros_like(targets), targets, mask)
    assert ((gradient * (targets - 0.5)).sum(dim=1) < 0).all()


@pytest.mark.parametrize("name", ["pairwise", "pairwise_hinge", "lambdarank"])
def test_fewer_than_two_names_in_a_tail_are_not_counted(name: str) -> None:
    scores, targets, mask = day(8, days=1, names=30)
    nine = mask & (torch.arange(30) < 9)  # 2 / 0.2 = 10
    ten = mask & (torch.arange(30) < 10)
    assert value_and_gradient(make_loss(name), scores, targets, nine)[0] == 0
    assert value_and_gradient(make_loss(name), scores, targets, ten)[0] > 0


@pytest.mark.parametrize("name", [*POINTWISE, "cross_entropy"])
def test_pointwise_losses_count_a_single_name_but_no_empty_day(name: str) -> None:
    scores = torch.tensor([[0.4, 9.0], [9.0, 9.0]])
    targets = torch.tensor([[1.0, 9.0], [9.0, 9.0]])
    mask = torch.tensor([[True, False], [False, False]])
    if name == "cross_entropy":
        scores = torch.stack([torch.zeros_like(scores), scores], dim=2)
        expected = math.log1p(math.exp(-0.4))
    else:
        expected = 0.6**2 * (1.0 if name == "pointwise" else 0.5)
    assert make_loss(name)(scores, targets, mask).item() == pytest.approx(expected)
    empty = scores.clone().requires_grad_()
    value = make_loss(name)(empty, targets, torch.zeros_like(mask))
    value.backward()
    assert value == 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(ALL))
def test_the_order_of_names_does_not_matter(seed: int, name: str) -> None:
    scores, targets, mask = day(seed)
    mask[1, :5] = False
    order = torch.tensor(np.random.default_rng(seed).permutation(scores.shape[1]))
    value, gradient = value_and_gradient(name, scores, targets, mask)
    moved, moved_gradient = value_and_gradient(
        name, scores[:, order], targets[:, order], mask[:, order]
    )
    assert moved.item() == pytest.approx(value.item(), rel=1e-12)
    torch.testing.assert_close(moved_gradient, gradient[:, order])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    name=st.sampled_from(ALL),
    pad=st.integers(1, 70),
    ties=st.booleans(),
)
def test_a_wider_padding_does_not_matter(
    seed: int, name: str, pad: int, ties: bool
) -> None:
    scores, targets, mask = day(seed, names=30)
    if ties:
        targets = torch.floor(targets * 7) / 7
    wide = [torch.nn.functional.pad(part, (0, pad)) for part in (scores, targets, mask)]
    value, gradient = value_and_gradient(name, scores, targets, mask)
    wider, wider_gradient = value_and_gradient(name, *wide)
    assert wider.item() == pytest.approx(value.item(), rel=1e-12)
    torch.testing.assert_close(wider_gradient[:, :30], gradient)


@pytest.mark.parametrize("name", ALL)
def test_the_batch_is_a_mean_over_days(name: str) -> None:
    scores, targets, mask = day(11, days=4)
    mask[3, 12:] = False
    whole, _ = value_and_gradient(name, scores, targets, mask)
    parts = [
        value_and_gradient(
            name, scores[i : i + 1], targets[i : i + 1], mask[i : i + 1]
        )[0]
        for i in range(4)
    ]
    assert whole.item() == pytest.approx(float(torch.stack(parts).mean()), rel=1e-12)
    doubled = [torch.cat([part, part]) for part in (scores, targets, mask)]
    twice, _ = value_and_gradient(name, *doubled)
    assert twice.item() == pytest.approx(whole.item(), rel=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_a_row_of_the_tables_depends_on_its_own_day_alone(name: str) -> None:
    _, targets, mask = day(21, days=4, names=30)
    targets[1] = torch.floor(targets[1] * 4) / 4
    mask[2, 7:] = False
    targets = torch.where(mask, targets, 0.0)
    loss = loss_of(name)
    whole = loss.tables(targets, mask)
    for row in range(4):
        part = slice(row, row + 1)
        for key, table in loss.tables(targets[part], mask[part]).items():
            assert torch.equal(table, whole[key][part]), key


@pytest.mark.parametrize("name", ALL)
def test_prepared_tables_give_the_same_loss(name: str) -> None:
    scores, targets, mask = day(22, days=5)
    mask[4, 11:] = False
    targets = torch.where(mask, targets, 0.0)
    scores = torch.where(mask, scores, 0.0)
    rows = torch.tensor([4, 0, 3])
    loss = loss_of(name)
    tables = loss.tables(targets, mask)
    picked = {key: table.index_select(0, rows) for key, table in tables.items()}
    value, counted = loss.per_day(scores[rows], picked)
    assert counted.all()
    expected = loss(scores[rows], targets[rows], mask[rows])
    assert value.mean().item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("name", SHIFT_INVARIANT)
def test_a_constant_per_day_does_not_matter(name: str) -> None:
    scores, targets, mask = day(12)
    shift = torch.tensor([[0.5], [-2.0], [7.0]], dtype=torch.float64)
    value, gradient = value_and_gradient(name, scores, targets, mask)
    shifted, _ = value_and_gradient(name, scores + shift, targets, mask)
    assert shifted.item() == pytest.approx(value.item(), rel=1e-9)
    torch.testing.assert_close(gradient.sum(dim=1), torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize("name", FREE_OF_SCALE)
def test_the_scale_of_scores_does_not_matter(name: str) -> None:
    scores, targets, mask = day(12)
    value, _ = value_and_gradient(name, scores, targets, mask)
    for scale in (1e-6, 3.0, 1e8):
        scaled, _ = value_and_gradient(name, scores * scale, targets, mask)
        assert scaled.item() == pytest.approx(value.item(), rel=1e-9)


@pytest.mark.parametrize("name", ONLY_RANKS)
def test_only_the_order_of_targets_matters(name: str) -> None:
    scores, targets, mask = day(13)
    value, _ = value_and_gradient(name, scores, targets, mask)
    mapped, _ = value_and_gradient(name, scores, (5 * targets).exp(), mask)
    assert mapped.item() == pytest.approx(value.item(), rel=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_gradients_are_those_of_the_value(name: str) -> None:
    scores, targets, mask = day(14, names=12)
    mask[0, 3] = False
    loss = loss_of(name)
    leaf = (scores * 1.37).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, targets, mask), (leaf,))


def test_cross_entropy_gradients_are_those_of_the_value() -> None:
    leaf = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    classes = torch.tensor([[0.0, 1, 2, 1], [2, 2, 0, 1]])
    mask = torch.tensor([[True] * 4, [True, False, True, True]])
    loss = make_loss("cross_entropy")
    assert torch.autograd.gradcheck(lambda s: loss(s, classes, mask), (leaf,))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("names", [24, 300])
def test_single_precision_is_close_and_half_is_finite(name: str, names: int) -> None:
    scores, targets, mask = day(15, names=names)
    scores, targets = scores.float().double(), targets.float().double()
    value, gradient = value_and_gradient(name, scores, targets, mask)
    single, close = value_and_gradient(name, scores.float(), targets.float(), mask)
    assert single.item() == pytest.approx(value.item(), rel=1e-5)
    largest = gradient.abs().max().item()
    torch.testing.assert_close(close.double(), gradient, rtol=1e-3, atol=1e-4 * largest)
    half, gradient = value_and_gradient(name, scores.bfloat16(), targets.float(), mask)
    assert half.dtype == torch.float32
    assert torch.isfinite(half)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", [n for n in ALL if n not in USER])
def test_huge_scores_in_the_wrong_order_are_still_pulled_back(name: str) -> None:
    noise, targets, mask = day(16)
    scores = (-2e4 * (targets - 0.5) + 3e3 * noise).float()
    value, gradient = value_and_gradient(name, scores, targets.float(), mask)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()
    # Descent raises the better names of every day.
    assert ((gradient * (targets - 0.5)).sum(dim=1) < 0).all()


@pytest.mark.parametrize("name", FREE_OF_SCALE)
def test_two_far_apart_clusters_in_the_wrong_order_are_still_pulled_back(
    name: str,
) -> None:
    noise, targets, mask = day(16)
    scores = (torch.where(targets > 0.5, -1e4, 1e4) + noise).float()
    value, gradient = value_and_gradient(name, scores, targets.float(), mask)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()
    assert ((gradient != 0).any(dim=1)).all()


@pytest.mark.parametrize("name", ALL)
def test_descent_on_scores_finds_the_order(name: str) -> None:
    scores, targets, mask = day(23, days=2, names=20)
    loss = loss_of(name)
    leaf = (0.1 * scores).requires_grad_()
    optimizer = torch.optim.Adam([leaf], lr=0.02)
    before = loss(leaf, targets, mask).item()
    for _ in range(200):
        optimizer.zero_grad()
        loss(leaf, targets, mask).backward()
        optimizer.step()
    assert loss(leaf, targets, mask).item() < before
    order = leaf.detach().argsort(dim=1).argsort(dim=1).double()
    for row, target in zip(order, targets, strict=True):
        assert np.corrcoef(row, target)[0, 1] > 0.6


@pytest.mark.parametrize("name", ALL)
def test_nothing_in_a_step_reads_the_device(name: str) -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    seen: list[str] = []

    class Record(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            seen.append(str(function))
            return function(*args, **(kwargs or {}))

    if name == "user scalar":
        pytest.skip("this function itself indexes by a mask")
    scores, targets, mask = day(24)
    loss = loss_of(name)
    tables = loss.tables(targets, mask)
    leaf = scores.requires_grad_()
    with Record():
        value, counted = loss.per_day(leaf, tables)
        torch.where(counted, value, 0.0).sum().backward()
    refused = ("_local_scalar_dense", "nonzero", "aten.index.Tensor", "masked_select")
    assert seen
    found = [op for op, bad in itertools.product(seen, refused) if bad in op]
    assert not found


@pytest.mark.parametrize(
    ("function", "said"),
    [("user_late", "too many names"), ("user_late_shape", "for 3 days")],
)
def test_a_users_loss_that_fails_later_says_which_one(function: str, said: str) -> None:
    loss = make_loss(user_path(function))
    with pytest.raises(UserError, match=said) as refused:
        loss(*day(0))
    assert function in str(refused.value)
