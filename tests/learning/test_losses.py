"""Edge cases and invariances of every loss, and the pairwise sums by brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.losses import loss_names, make_loss

RANKING = ["pairwise", "pairwise_hinge", "listwise", "ic"]
POINTWISE = ["pointwise", "huber"]
SCALAR = RANKING + POINTWISE
SHIFT_INVARIANT = ["pairwise", "pairwise_hinge", "listwise", "ic"]


def day(seed: int, days: int = 3, names: int = 24) -> tuple[Tensor, Tensor, Tensor]:
    rng = np.random.default_rng([seed, 7])
    scores = torch.tensor(rng.normal(size=(days, names)))
    targets = torch.tensor(
        rng.permuted(np.tile(np.arange(names) + 0.5, (days, 1)), axis=1)
    )
    return scores, targets / names, torch.ones(days, names, dtype=torch.bool)


def value_and_gradient(
    name: str, scores: Tensor, targets: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    leaf = scores.clone().requires_grad_()
    value = make_loss(name)(leaf, targets, mask)
    value.backward()
    assert leaf.grad is not None
    return value.detach(), leaf.grad


@pytest.mark.parametrize("name", SCALAR)
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
    assert (dirty_gradient[mask] != 0).any()


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


@pytest.mark.parametrize("name", RANKING)
@pytest.mark.parametrize("case", DEGENERATE)
def test_a_day_without_order_is_zero_with_a_graph_and_not_counted(
    name: str, case: str
) -> None:
    good = day(5, days=1)
    bad = DEGENERATE[case](*day(6, days=1))
    value, gradient = value_and_gradient(name, *bad)
    assert value == 0
    assert (gradient == 0).all()
    both = [torch.cat(pair) for pair in zip(good, bad, strict=True)]
    alone, alone_gradient = value_and_gradient(name, *good)
    mixed, mixed_gradient = value_and_gradient(name, *both)
    assert mixed.item() == pytest.approx(alone.item(), rel=1e-14)
    torch.testing.assert_close(mixed_gradient[:1], alone_gradient)
    assert (mixed_gradient[1] == 0).all()


@pytest.mark.parametrize("name", ["pairwise", "pairwise_hinge"])
def test_fewer_than_two_names_in_a_tail_are_not_counted(name: str) -> None:
    scores, targets, mask = day(8, days=1, names=30)
    nine = mask & (torch.arange(30) < 9)  # 2 / 0.2 = 10
    ten = mask & (torch.arange(30) < 10)
    assert value_and_gradient(name, scores, targets, nine)[0] == 0
    assert value_and_gradient(name, scores, targets, ten)[0] > 0


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


def test_tied_scores_have_no_correlation_but_still_pairs() -> None:
    scores, targets, mask = day(9, days=2)
    scores[1] = 0.25
    value, gradient = value_and_gradient("ic", scores, targets, mask)
    alone, _ = value_and_gradient("ic", scores[:1], targets[:1], mask[:1])
    assert value.item() == pytest.approx(alone.item())
    assert (gradient[1] == 0).all()
    tied, pulled = value_and_gradient("pairwise", scores[1:], targets[1:], mask[1:])
    assert tied.item() == pytest.approx(math.log(2))
    assert (pulled != 0).any()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(SCALAR))
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


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(SCALAR), pad=st.integers(1, 70))
def test_a_wider_padding_does_not_matter(seed: int, name: str, pad: int) -> None:
    scores, targets, mask = day(seed, names=30)
    wide = [torch.nn.functional.pad(part, (0, pad)) for part in (scores, targets, mask)]
    value, gradient = value_and_gradient(name, scores, targets, mask)
    wider, wider_gradient = value_and_gradient(name, *wide)
    assert wider.item() == pytest.approx(value.item(), rel=1e-12)
    torch.testing.assert_close(wider_gradient[:, :30], gradient)


@pytest.mark.parametrize("name", SCALAR)
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


@pytest.mark.parametrize("name", SHIFT_INVARIANT)
def test_a_constant_per_day_does_not_matter(name: str) -> None:
    scores, targets, mask = day(12)
    shift = torch.tensor([[0.5], [-2.0], [7.0]], dtype=torch.float64)
    value, _ = value_and_gradient(name, scores, targets, mask)
    shifted, _ = value_and_gradient(name, scores + shift, targets, mask)
    assert shifted.item() == pytest.approx(value.item(), rel=1e-9)


@pytest.mark.parametrize("name", ["pairwise", "pairwise_hinge", "listwise"])
def test_only_the_order_of_targets_matters(name: str) -> None:
    scores, targets, mask = day(13)
    value, _ = value_and_gradient(name, scores, targets, mask)
    mapped, _ = value_and_gradient(name, scores, (5 * targets).exp(), mask)
    assert mapped.item() == pytest.approx(value.item(), rel=1e-12)


@pytest.mark.parametrize("name", SCALAR)
def test_gradients_are_those_of_the_value(name: str) -> None:
    scores, targets, mask = day(14, names=12)
    mask[0, 3] = False
    loss = make_loss(name)
    leaf = (scores * 1.37).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, targets, mask), (leaf,))


def test_cross_entropy_gradients_are_those_of_the_value() -> None:
    leaf = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    classes = torch.tensor([[0.0, 1, 2, 1], [2, 2, 0, 1]])
    mask = torch.tensor([[True] * 4, [True, False, True, True]])
    loss = make_loss("cross_entropy")
    assert torch.autograd.gradcheck(lambda s: loss(s, classes, mask), (leaf,))


@pytest.mark.parametrize("name", SCALAR)
def test_single_precision_is_close_and_half_is_finite(name: str) -> None:
    scores, targets, mask = day(15)
    value, _ = value_and_gradient(name, scores, targets, mask)
    single, _ = value_and_gradient(name, scores.float(), targets.float(), mask)
    assert single.item() == pytest.approx(value.item(), rel=1e-5)
    half, gradient = value_and_gradient(name, scores.bfloat16(), targets.float(), mask)
    assert half.dtype == torch.float32
    assert torch.isfinite(half)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", SCALAR)
def test_huge_scores_in_the_wrong_order_are_still_pulled_back(name: str) -> None:
    noise, targets, mask = day(16)
    scores = (-2e4 * (targets - 0.5) + 3e3 * noise).float()
    value, gradient = value_and_gradient(name, scores, targets.float(), mask)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()
    # Descent raises the better names of every day.
    assert ((gradient * (targets - 0.5)).sum(dim=1) < 0).all()


def brute_force(
    scores: list[float], targets: list[float], top: float, bottom: float, margin: float
) -> float:
    order = sorted(range(len(targets)), key=lambda i: -targets[i])
    winners = order[: int(len(order) * top + 1e-9)]
    losers = order[::-1][: int(len(order) * bottom + 1e-9)]
    penalties = [
        math.log1p(math.exp(margin - scores[w] + scores[j]))
        for w, j in itertools.product(winners, losers)
        if targets[w] > targets[j]
    ]
    return sum(penalties) / len(penalties)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    names=st.integers(10, 40),
    top=st.sampled_from([0.2, 0.3, 0.5]),
    margin=st.sampled_from([0.0, 0.7]),
)
def test_all_pairs_equal_brute_force(
    seed: int, names: int, top: float, margin: float
) -> None:
    scores, targets, mask = day(seed, days=2, names=names)
    mask[1, 0] = names <= 10
    expected = [
        brute_force(s[m].tolist(), t[m].tolist(), top, 0.2, margin)
        for s, t, m in zip(scores, targets, mask, strict=True)
    ]
    loss = make_loss("pairwise", top_pct=top, bottom_pct=0.2, margin=margin)
    value = loss(scores, targets, mask)
    assert value.item() == pytest.approx(np.mean(expected), rel=1e-12)


def test_hinge_by_hand() -> None:
    # Winners: targets 9 and 8 with scores 0 and 3; losers: 0 and 1 with scores 1 and 0.
    targets = torch.arange(10.0).unsqueeze(0)
    scores = torch.zeros(1, 10)
    scores[0, 8], scores[0, 0] = 3.0, 1.0
    loss = make_loss("pairwise_hinge", margin=1.0)
    # Differences: -1, 0 and 2, 3 -> penalties 2, 1, 0, 0.
    value = loss(scores, targets, torch.ones(1, 10, dtype=torch.bool))
    assert value.item() == pytest.approx(3 / 4)


def test_equal_targets_across_the_tails_form_no_pair() -> None:
    targets = torch.tensor([[1.0] + [0.0] * 9])
    mask = torch.ones(1, 10, dtype=torch.bool)
    scores = torch.zeros(1, 10)
    scores[0, 0] = 2.0
    # Two winners, (1, 0), against two losers, (0, 0): only the first forms pairs.
    value = make_loss("pairwise")(scores, targets, mask)
    assert value.item() == pytest.approx(math.log1p(math.exp(-2.0)), rel=1e-6)


def test_chunks_of_pairs_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, targets, mask = day(17, names=60)
    whole = value_and_gradient("pairwise", scores, targets, mask)
    from ranking_pipeline.learning.losses import pairs

    monkeypatch.setattr(pairs, "_PAIRS_PER_CHUNK", 100)
    parts = value_and_gradient("pairwise", scores, targets, mask)
    torch.testing.assert_close(parts, whole)


def test_sampled_pairs_are_seeded_and_unbiased() -> None:
    scores, targets, mask = day(18, names=50)
    exact = make_loss("pairwise")(scores, targets, mask).item()

    def draw(seed: int) -> list[float]:
        loss = make_loss("pairwise", max_pairs=20, seed=seed)
        return [loss(scores, targets, mask).item() for _ in range(300)]

    first = draw(1)
    assert first == draw(1)
    assert first != draw(2)
    assert len(set(first)) > 200
    spread = np.std(first) / math.sqrt(len(first))
    assert abs(np.mean(first) - exact) < 4 * spread


def test_a_cap_above_the_number_of_pairs_takes_all() -> None:
    scores, targets, mask = day(19)
    exact = make_loss("pairwise")(scores, targets, mask)
    assert torch.equal(
        make_loss("pairwise", max_pairs=16)(scores, targets, mask), exact
    )


def test_sampled_gradients_are_those_of_the_value() -> None:
    scores, targets, mask = day(20)

    def fresh(leaf: Tensor) -> Tensor:
        return make_loss("pairwise", max_pairs=5, seed=3)(leaf, targets, mask)

    assert torch.autograd.gradcheck(fresh, (scores.requires_grad_(),))


def test_listwise_by_hand() -> None:
    targets = torch.tensor([[0.1, 0.9]], dtype=torch.float64)
    scores = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    mask = torch.ones(1, 2, dtype=torch.bool)
    probit = 0.6744897501960817  # of 3/4; the other name is its mirror image
    weight = 1 / (1 + math.exp(-2 * probit / 0.5))
    high, low = -0.2 - math.log(math.exp(0.3) + math.exp(-0.2)), 0.0
    low = 0.3 - math.log(math.exp(0.3) + math.exp(-0.2))
    value = make_loss("listwise", temperature=0.5)(scores, targets, mask)
    assert value.item() == pytest.approx(
        -(weight * high + (1 - weight) * low), rel=1e-6
    )


def test_listwise_puts_weight_on_the_best_names() -> None:
    loss = make_loss("listwise")
    targets = torch.arange(1, 51).unsqueeze(0) / 51
    weights = loss.target_weights(targets, torch.ones(1, 50, dtype=torch.bool))
    assert weights[0, -5:].sum() > 0.25
    assert weights.sum().item() == pytest.approx(1.0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_ic_is_one_minus_pearson(seed: int) -> None:
    scores, targets, mask = day(seed)
    mask[1, 3:7] = False
    expected = [
        1 - np.corrcoef(s[m], t[m])[0, 1]
        for s, t, m in zip(scores, targets, mask, strict=True)
    ]
    value = make_loss("ic")(scores, targets, mask)
    assert value.item() == pytest.approx(np.mean(expected), rel=1e-12)


def test_unknown_names_and_parameters_are_refused_with_the_valid_ones() -> None:
    with pytest.raises(UserError, match="pairwise_hinge"):
        make_loss("pairwize")
    with pytest.raises(UserError, match="temperature"):
        make_loss("listwise", margin=1.0)
    with pytest.raises(UserError, match="top_pct"):
        make_loss("pairwise", top_pct=0.7)
    with pytest.raises(UserError, match="temperature"):
        make_loss("listwise", temperature=0.0)
    with pytest.raises(UserError, match="delta"):
        make_loss("huber", delta=0.0)


def test_aliases_mean_the_same_loss() -> None:
    assert type(make_loss("mse")) is type(make_loss("pointwise"))
    assert type(make_loss("pairwise_logistic")) is type(make_loss("pairwise"))
    assert type(make_loss("listwise_softmax")) is type(make_loss("listwise"))
    assert set(SCALAR) | {"cross_entropy"} == set(loss_names())
