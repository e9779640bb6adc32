"""Every loss against a plain reference of its formula, and small values by hand."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from losses_world import day, user_path, value_and_gradient
from scipy.stats import rankdata, spearmanr
from torch import Tensor

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.losses import (
    canonical_loss,
    loss_names,
    loss_parameters,
    make_loss,
    pairs,
    soft_ranks,
)
from ranking_pipeline.learning.losses.listmle import shuffled_slots
from ranking_pipeline.learning.ranks import rank_ic_with, unit_ranks

Row = list[float]
Reference = Callable[[Row, Row], float]


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def tails_of(targets: Row, top: float, bottom: float) -> tuple[list[int], list[int]]:
    """Tails by count; a value that both hold leaves the one that loses fewer pairs."""
    order = sorted(range(len(targets)), key=lambda i: -targets[i])
    winners = order[: int(len(order) * top + 1e-9)]
    losers = order[::-1][: int(len(order) * bottom + 1e-9)]
    if not winners or not losers:
        return [], []
    last_loser, last_winner = targets[losers[-1]], targets[winners[-1]]
    fewer_winners = [i for i in winners if targets[i] > last_loser]
    fewer_losers = [i for i in losers if targets[i] < last_winner]
    if len(fewer_winners) * len(losers) >= len(winners) * len(fewer_losers):
        return fewer_winners, losers
    return winners, fewer_losers


def pairwise(
    scores: Row,
    targets: Row,
    penalty: Callable[[float], float] = softplus,
    top: float = 0.2,
    bottom: float = 0.2,
    margin: float = 0.0,
    pairs: str = "tails",
    weighting: str = "none",
) -> float:
    everyone = list(range(len(targets)))
    winners, losers = (
        tails_of(targets, top, bottom) if pairs == "tails" else (everyone, everyone)
    )
    total = weights = 0.0
    for w, j in itertools.product(winners, losers):
        if targets[w] > targets[j]:
            weight = targets[w] - targets[j] if weighting == "difference" else 1.0
            total += weight * penalty(margin - scores[w] + scores[j])
            weights += weight
    return total / weights


def normal_scores(targets: Row) -> Row:
    quantile = statistics.NormalDist().inv_cdf
    return [quantile((r - 0.5) / len(targets)) for r in rankdata(targets)]


def listwise(scores: Row, targets: Row, temperature: float = 3.0) -> float:
    z = normal_scores(targets)
    q_norm = sum(math.exp(v / temperature) for v in z)
    p_norm = sum(math.exp(s / temperature) for s in scores)
    total = 0.0
    for s, v in zip(scores, z, strict=True):
        q = math.exp(v / temperature) / q_norm
        total += q * (math.log(q) - s / temperature + math.log(p_norm))
    return temperature**2 * total


def listmle(scores: Row, targets: Row) -> float:
    order = sorted(range(len(targets)), key=lambda i: -targets[i])
    total = 0.0
    for place, i in enumerate(order):
        total += math.log(sum(math.exp(scores[j]) for j in order[place:])) - scores[i]
    return total / len(order)


def standardised(scores: Row) -> Row:
    values = np.array(scores)
    return list((values - values.mean()) / values.std())


def soft_rank(values: Row, i: int, temperature: float) -> float:
    return 0.5 + sum(sigmoid((values[i] - other) / temperature) for other in values)


def spearman(scores: Row, targets: Row, temperature: float = 0.5) -> float:
    level = standardised(scores)
    ranks = [soft_rank(level, i, temperature) for i in range(len(level))]
    return float(1 - np.corrcoef(ranks, rankdata(targets))[0, 1])


def gains_of(targets: Row) -> Row:
    return [(r - 1) / (len(targets) - 1) for r in rankdata(targets)]


def ideal(gains: Row) -> float:
    best = sorted(gains, reverse=True)
    return sum(g / math.log2(2 + place) for place, g in enumerate(best))


def approx_ndcg(scores: Row, targets: Row, temperature: float = 1.0) -> float:
    level = [-s for s in standardised(scores)]
    gains = gains_of(targets)
    total = sum(
        gain / math.log2(1 + soft_rank(level, i, temperature))
        for i, gain in enumerate(gains)
    )
    return 1 - total / ideal(gains)


def neural_ndcg(scores: Row, targets: Row, temperature: float = 0.1) -> float:
    level, gains, n = standardised(scores), gains_of(targets), len(scores)
    matrix = np.empty((n, n))
    for i in range(n):
        logits = [
            ((n + 1 - 2 * (i + 1)) * s - sum(abs(s - other) for other in level))
            / (n * temperature)
            for s in level
        ]
        powers = [math.exp(v - max(logits)) for v in logits]
        matrix[i] = [p / sum(powers) for p in powers]
    for _ in range(10):
        matrix = matrix / matrix.sum(axis=1, keepdims=True)
        matrix = matrix / matrix.sum(axis=0, keepdims=True)
    matrix = matrix / matrix.sum(axis=1, keepdims=True)
    placed = matrix @ np.array(gains)
    total = sum(g / math.log2(2 + place) for place, g in enumerate(placed))
    return float(1 - total / ideal(gains))


def memberships(order: list[int], top: float, bottom: float) -> list[int]:
    n = len(order)
    n_top, n_bottom = int(n * top + 1e-9), int(n * bottom + 1e-9)
    found = [0] * n
    for place, i in enumerate(order):
        found[i] = int(place < n_top) - int(place >= n - n_bottom)
    return found


def lambdarank(
    scores: Row, targets: Row, top: float = 0.2, bottom: float = 0.2
) -> float:
    names = range(len(scores))
    by_target = sorted(names, key=lambda i: -targets[i])
    hard = memberships(by_target, top, bottom)
    g = [
        float(np.mean([hard[j] for j in names if targets[j] == targets[i]]))
        for i in names
    ]
    m = memberships(sorted(names, key=lambda i: (-scores[i], targets[i])), top, bottom)
    total = weights = 0.0
    for i, j in itertools.product(names, names):
        if g[i] > g[j]:
            total += (g[i] - g[j]) * abs(m[i] - m[j]) * softplus(scores[j] - scores[i])
            weights += g[i] - g[j]
    return total / weights


def relu(x: float) -> float:
    return max(0.0, x)


def pointwise(scores: Row, targets: Row) -> float:
    errors = [(s - t) ** 2 for s, t in zip(scores, targets, strict=True)]
    return sum(errors) / len(errors)


def huber(scores: Row, targets: Row, delta: float = 1.0) -> float:
    total = 0.0
    for s, t in zip(scores, targets, strict=True):
        e = abs(s - t)
        total += e * e / 2 if e <= delta else delta * (e - delta / 2)
    return total / len(scores)


def pearson(scores: Row, targets: Row) -> float:
    return float(1 - np.corrcoef(scores, targets)[0, 1])


def mixed(scores: Row, targets: Row) -> float:
    n_squares = sum(t * t for t in targets) / len(targets)
    return (
        2.0 * pairwise(scores, targets) / math.log(2)
        + 0.5 * pearson(scores, targets)
        + 0.25 * pointwise(scores, targets) / n_squares
    )


CASES: list[tuple[str, dict[str, Any], Reference]] = [
    ("pairwise", {}, pairwise),
    (
        "pairwise",
        {"top_pct": 0.3, "bottom_pct": 0.5, "margin": 0.7},
        lambda s, t: pairwise(s, t, top=0.3, bottom=0.5, margin=0.7),
    ),
    ("pairwise", {"pairs": "all"}, lambda s, t: pairwise(s, t, pairs="all")),
    (
        "pairwise",
        {"weighting": "difference"},
        lambda s, t: pairwise(s, t, weighting="difference"),
    ),
    (
        "pairwise",
        {"pairs": "all", "weighting": "difference", "margin": 0.2},
        lambda s, t: pairwise(s, t, pairs="all", weighting="difference", margin=0.2),
    ),
    ("pairwise_hinge", {}, lambda s, t: pairwise(s, t, relu, margin=1.0)),
    (
        "pairwise_hinge",
        {"pairs": "all", "margin": 0.4},
        lambda s, t: pairwise(s, t, relu, margin=0.4, pairs="all"),
    ),
    ("listwise", {}, listwise),
    ("listwise", {"temperature": 1.0}, lambda s, t: listwise(s, t, 1.0)),
    ("spearman", {}, spearman),
    ("spearman", {"temperature": 0.05}, lambda s, t: spearman(s, t, 0.05)),
    ("approx_ndcg", {}, approx_ndcg),
    ("neural_ndcg", {}, neural_ndcg),
    ("lambdarank", {}, lambdarank),
    (
        "lambdarank",
        {"top_pct": 0.15, "bottom_pct": 0.4},
        lambda s, t: lambdarank(s, t, 0.15, 0.4),
    ),
    ("pointwise", {}, pointwise),
    ("huber", {"delta": 0.3}, lambda s, t: huber(s, t, 0.3)),
    ("ic", {}, pearson),
    ("mixture", {"terms": {"pairwise": 2.0, "ic": 0.5, "mse": 0.25}}, mixed),
]
NAMES = [f"{name} {parameters}" for name, parameters, _ in CASES]


@pytest.mark.parametrize(("name", "parameters", "reference"), CASES, ids=NAMES)
@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    names=st.integers(20, 32),
    levels=st.sampled_from([0, 2, 3, 9]),
    tied_scores=st.booleans(),
)
def test_the_value_is_that_of_the_formula(
    name: str,
    parameters: dict[str, Any],
    reference: Reference,
    seed: int,
    names: int,
    levels: int,
    tied_scores: bool,
) -> None:
    scores, targets, mask = day(seed, days=2, names=names)
    if levels:
        targets = torch.floor(targets * levels) / levels
    if tied_scores:
        scores = scores.round()
    mask[1, 3:6] = False
    expected = [
        reference(s[m].tolist(), t[m].tolist())
        for s, t, m in zip(scores, targets, mask, strict=True)
    ]
    value = make_loss(name, **parameters)(scores, targets, mask)
    # Normal scores are kept in single precision.
    precision = 1e-6 if name == "listwise" else 1e-10
    assert value.item() == pytest.approx(np.mean(expected), rel=precision)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), names=st.integers(2, 30))
def test_listmle_is_the_likelihood_of_the_order(seed: int, names: int) -> None:
    scores, targets, mask = day(seed, days=1, names=names)
    value = make_loss("listmle")(scores, targets, mask)
    expected = listmle(scores[0].tolist(), targets[0].tolist())
    assert value.item() == pytest.approx(expected, rel=1e-12)


def test_listmle_by_hand() -> None:
    # Best to worst: scores log 2, log 1, log 3; chances 2/6, 1/4 and 1.
    scores = torch.tensor([[math.log(3.0), math.log(2.0), 0.0]], dtype=torch.float64)
    targets = torch.tensor([[0.1, 0.9, 0.5]], dtype=torch.float64)
    mask = torch.ones(1, 3, dtype=torch.bool)
    value = make_loss("listmle")(scores, targets, mask)
    assert value.item() == pytest.approx(math.log(12) / 3, rel=1e-12)


def test_listmle_orders_equal_targets_by_seed_and_slot() -> None:
    scores, _, mask = day(30, days=2, names=10)
    targets = torch.tensor([[1.0, 0, 0, 0, 0, 0, 0, 0, 0, 2.0]] * 2)
    scores[1] = scores[0]
    losses = [make_loss("listmle", seed=seed) for seed in (0, 0, 1)]
    values = [loss(scores, targets, mask).item() for loss in losses]
    assert values[0] == values[1] != values[2]
    order = losses[0].tables(targets, mask)["order"]
    assert torch.equal(order[0], order[1])
    middle = [i for i in shuffled_slots(10, 0, mask.device).tolist() if 0 < i < 9]
    assert order[0].tolist() == [*middle, 0, 9]


def test_the_seeded_order_of_slots_is_a_permutation_that_only_grows() -> None:
    device = torch.device("cpu")
    wide = shuffled_slots(2000, 5, device).tolist()
    assert sorted(wide) == list(range(2000))
    assert [i for i in wide if i < 700] == shuffled_slots(700, 5, device).tolist()
    assert wide != shuffled_slots(2000, 6, device).tolist()
    assert abs(np.corrcoef(wide, range(2000))[0, 1]) < 0.1


def test_hinge_by_hand() -> None:
    # Winners: targets 9 and 8 with scores 0 and 3; losers: 0 and 1 with scores 1 and 0.
    targets = torch.arange(10.0).unsqueeze(0)
    scores = torch.zeros(1, 10)
    scores[0, 8], scores[0, 0] = 3.0, 1.0
    loss = make_loss("pairwise_hinge", margin=1.0)
    # Differences: -1, 0 and 2, 3 -> penalties 2, 1, 0, 0.
    value = loss(scores, targets, torch.ones(1, 10, dtype=torch.bool))
    assert value.item() == pytest.approx(3 / 4)


def test_a_difference_weight_by_hand() -> None:
    targets = torch.tensor([[0.0, 1.0, 3.0]], dtype=torch.float64)
    scores = torch.tensor([[0.0, 2.0, 1.0]], dtype=torch.float64)
    mask = torch.ones(1, 3, dtype=torch.bool)
    loss = make_loss("pairwise_hinge", margin=0.0, pairs="all", weighting="difference")
    # Pairs (winner, loser): (3, 1) is wrong by 1 with weight 2; (3, 0) and (1, 0) hold.
    assert loss(scores, targets, mask).item() == pytest.approx(2 * 1 / (2 + 3 + 1))


def test_lambdarank_by_hand() -> None:
    # Ten names in the order of their targets but for the best and the worst, swapped.
    targets = torch.arange(10.0, dtype=torch.float64).unsqueeze(0)
    scores = 100 * targets.clone()
    scores[0, 0], scores[0, 9] = 900.0, 0.0
    mask = torch.ones(1, 10, dtype=torch.bool)
    value = make_loss("lambdarank")(scores, targets, mask)
    # The best scores 0, as member of the bottom: against the middle (gap 1, change 1)
    # its penalties are 200 ... 700; against the worst, 900 (gap 2, change 2); against
    # the other bottom name, 100 (gap 2, no change). The worst mirrors it, and against
    # the other top name, 100 (gap 2, no change); nothing else is wrong.
    wrong = sum(range(200, 701, 100)) * 2 + 4 * 900
    gaps = 2 * 6 * 2 + 2 * 2 * 2  # top or bottom against the middle; top against bottom
    assert value.item() == pytest.approx(wrong / gaps, rel=1e-12)


def test_lambdarank_is_zero_where_no_swap_changes_a_tail() -> None:
    targets = torch.arange(10.0, dtype=torch.float64).unsqueeze(0)
    scores = 100 * targets.clone()
    # Wrong inside the tails and inside the middle only.
    scores[0, [0, 1, 4, 5, 8, 9]] = scores[0, [1, 0, 5, 4, 9, 8]]
    mask = torch.ones(1, 10, dtype=torch.bool)
    assert make_loss("lambdarank")(scores, targets, mask).item() < 1e-40


def test_equal_targets_across_the_tails_form_no_pair() -> None:
    targets = torch.tensor([[1.0] + [0.0] * 9])
    mask = torch.ones(1, 10, dtype=torch.bool)
    scores = torch.zeros(1, 10)
    scores[0, 0] = 2.0
    # Two winners, (1, 0), against two losers, (0, 0): only the first forms pairs.
    value = make_loss("pairwise")(scores, targets, mask)
    assert value.item() == pytest.approx(math.log1p(math.exp(-2.0)), rel=1e-6)
    # And the same from below.
    value = make_loss("pairwise")(-scores, -targets, mask)
    assert value.item() == pytest.approx(math.log1p(math.exp(-2.0)), rel=1e-6)


@pytest.mark.parametrize("name", ["pairwise", "lambdarank"])
def test_chunks_of_pairs_add_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, targets, mask = day(17, names=60)
    whole = value_and_gradient(make_loss(name), scores, targets, mask)
    monkeypatch.setattr(pairs, "_PAIRS_AT_ONCE", 1)
    for size in (1, 100, 1000):
        monkeypatch.setattr(pairs, "_PAIRS_PER_CHUNK", size)
        parts = value_and_gradient(make_loss(name), scores, targets, mask)
        torch.testing.assert_close(parts, whole)


@pytest.mark.parametrize("name", ["spearman", "approx_ndcg"])
def test_chunks_of_soft_ranks_add_up(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, targets, mask = day(17, names=60)
    mask[1, 11:] = False
    whole = value_and_gradient(make_loss(name), scores, targets, mask)
    monkeypatch.setattr(soft_ranks, "_PAIRS_PER_CHUNK", 1000)
    parts = value_and_gradient(make_loss(name), scores, targets, mask)
    torch.testing.assert_close(parts, whole)


def test_neural_ndcg_of_many_days_is_taken_in_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ranking_pipeline.learning.losses import neural_ndcg as module

    scores, targets, mask = day(17, days=5, names=12)
    whole = value_and_gradient(make_loss("neural_ndcg"), scores, targets, mask)
    monkeypatch.setattr(module, "_CELLS_PER_CHUNK", 2 * 12 * 12)
    parts = value_and_gradient(make_loss("neural_ndcg"), scores, targets, mask)
    torch.testing.assert_close(parts, whole)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_cold_spearman_is_the_rank_correlation(seed: int) -> None:
    scores, targets, mask = day(seed, days=1)
    scores = (scores * 3).round()
    value = make_loss("spearman", temperature=1e-4)(scores, targets, mask)
    expected = 1 - spearmanr(scores[0], targets[0]).statistic
    assert value.item() == pytest.approx(expected, abs=1e-12)


def test_the_best_order_has_the_lowest_value_and_the_worst_the_highest() -> None:
    _, targets, mask = day(31, days=2)
    for name in ("ic", "spearman", "approx_ndcg", "neural_ndcg"):
        loss = make_loss(name)
        best, middle, worst = (
            loss(s, targets, mask).item()
            for s in (targets, (targets * 7).frac(), -targets)
        )
        assert best < middle, name
        assert middle < worst, name


def test_listwise_by_hand() -> None:
    targets = torch.tensor([[0.1, 0.9]], dtype=torch.float64)
    scores = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    mask = torch.ones(1, 2, dtype=torch.bool)
    probit = 0.6744897501960817  # of 3/4; the other name is its mirror image
    q = sigmoid(2 * probit / 0.5)
    p = sigmoid((-0.2 - 0.3) / 0.5)
    divergence = q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))
    value = make_loss("listwise", temperature=0.5)(scores, targets, mask)
    assert value.item() == pytest.approx(0.25 * divergence, rel=1e-6)


def test_a_warm_listwise_is_half_the_squared_error_on_normal_scores() -> None:
    scores, targets, mask = day(32, days=1, names=40)
    value = make_loss("listwise", temperature=1e3)(scores, targets, mask)
    z = np.array(normal_scores(targets[0].tolist()))
    error = scores[0].numpy() - scores[0].numpy().mean() - z
    assert value.item() == pytest.approx(np.mean(error**2) / 2, rel=1e-2)


def test_a_warm_listwise_uses_more_of_the_order() -> None:
    _, targets, mask = day(33, days=1, names=2000)
    z = np.array(normal_scores(targets[0].tolist()))
    for temperature, share in ((1.0, 0.58), (2.0, 0.88), (3.0, 0.95)):
        loss = make_loss("listwise", temperature=temperature)
        _, gradient = value_and_gradient(loss, torch.zeros_like(targets), targets, mask)
        found = np.corrcoef(gradient[0], z)[0, 1] ** 2
        assert found == pytest.approx(share, abs=0.03)


def draws_of(loss_parameters: dict[str, Any], n: int) -> list[float]:
    scores, targets, mask = day(18, names=50)
    loss = make_loss("pairwise", **loss_parameters)
    return [loss(scores, targets, mask).item() for _ in range(n)]


@pytest.mark.parametrize(
    "kind",
    [{}, {"weighting": "difference"}, {"pairs": "all"}, {"top_pct": 0.3}],
    ids=str,
)
def test_sampled_pairs_are_seeded_and_unbiased(kind: dict[str, Any]) -> None:
    (exact,) = draws_of(kind, 1)
    first = draws_of({"max_pairs": 20, "seed": 1} | kind, 300)
    assert first == draws_of({"max_pairs": 20, "seed": 1} | kind, 300)
    assert first != draws_of({"max_pairs": 20, "seed": 2} | kind, 300)
    assert len(set(first)) > 200
    spread = np.std(first) / math.sqrt(len(first))
    assert abs(np.mean(first) - exact) < 4 * spread


def test_drawn_pairs_continue_where_a_saved_state_was_taken() -> None:
    scores, targets, mask = day(18, names=50)
    loss = make_loss("pairwise", max_pairs=20, seed=4)
    before = loss.state_dict()
    first = [loss(scores, targets, mask).item() for _ in range(3)]
    state = loss.state_dict()
    after = [loss(scores, targets, mask).item() for _ in range(3)]
    other = make_loss("pairwise", max_pairs=20, seed=4)
    other.load_state_dict(state)
    assert [other(scores, targets, mask).item() for _ in range(3)] == after
    other.load_state_dict(before)
    assert [other(scores, targets, mask).item() for _ in range(3)] == first


def test_a_cap_above_the_number_of_pairs_takes_all() -> None:
    scores, targets, mask = day(19)
    exact = make_loss("pairwise")(scores, targets, mask)
    assert torch.equal(
        make_loss("pairwise", max_pairs=16)(scores, targets, mask), exact
    )


@pytest.mark.parametrize("kind", [{}, {"pairs": "all", "weighting": "difference"}])
def test_sampled_gradients_are_those_of_the_value(kind: dict[str, Any]) -> None:
    scores, targets, mask = day(20)

    def fresh(leaf: Tensor) -> Tensor:
        return make_loss("pairwise", max_pairs=5, seed=3, **kind)(leaf, targets, mask)

    assert torch.autograd.gradcheck(fresh, (scores.requires_grad_(),))


def test_a_mixture_of_equal_scores_is_worth_its_weights() -> None:
    _, targets, mask = day(25)
    terms = {"pairwise": 2.0, "listmle": 1.0, "lambdarank": 0.5, "listwise": 0.25}
    value = make_loss("mixture", terms=terms)(torch.zeros_like(targets), targets, mask)
    assert value.item() == pytest.approx(3.75, rel=1e-12)


def test_the_scale_of_a_mixture_draws_nothing() -> None:
    scores, targets, mask = day(26, names=50)
    terms = {"pairwise": math.log(2)}
    mixed = make_loss("mixture", terms=terms, max_pairs=20, seed=3)
    alone = make_loss("pairwise", max_pairs=20, seed=3)
    for _ in range(3):
        value = mixed(scores, targets, mask).item()
        assert value == pytest.approx(alone(scores, targets, mask).item(), rel=1e-12)


def test_shared_parameters_reach_the_terms_that_take_them() -> None:
    loss = make_loss(
        "mixture", terms={"pairwise": 1.0, "lambdarank": 1.0, "ic": 1.0}, top_pct=0.35
    )
    assert [getattr(term, "top_pct", None) for term in loss.losses] == [
        0.35,
        0.35,
        None,
    ]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), levels=st.sampled_from([1, 2, 5, 1000]))
def test_the_rank_correlation_of_the_loop_is_spearmans(seed: int, levels: int) -> None:
    scores, targets, mask = day(seed, days=4, names=30)
    scores = (scores * levels).round()
    targets = torch.floor(targets * levels)
    mask[1, 5:] = False
    mask[2] = False
    mask[3, 1:] = False
    dirty = torch.where(mask, scores, math.nan)
    unit = unit_ranks(torch.where(mask, targets, math.nan), mask, torch.float64)
    found, defined = rank_ic_with(dirty, unit, mask)
    single, same = rank_ic_with(dirty, unit_ranks(targets, mask), mask)
    torch.testing.assert_close(single, found, rtol=0, atol=1e-6)
    assert torch.equal(same, defined)
    for row in range(4):
        s, t = scores[row][mask[row]].numpy(), targets[row][mask[row]].numpy()
        ordered = len(set(s.tolist())) > 1 and len(set(t.tolist())) > 1
        assert bool(defined[row]) == ordered
        expected = spearmanr(s, t).statistic if ordered else 0.0
        assert found[row].item() == pytest.approx(expected, abs=1e-12)


def test_unit_ranks_by_hand() -> None:
    values = torch.tensor([[5.0, 1.0, 5.0, 9.0], [2.0, 2.0, 2.0, 7.0]])
    mask = torch.tensor([[True, True, True, True], [True, True, True, False]])
    # Ranks 2.5, 1, 2.5, 4 about 2.5; the second row ties throughout.
    side = 1 / math.sqrt(2)
    expected = torch.tensor([[0.0, -side, 0.0, side], [0.0] * 4])
    torch.testing.assert_close(unit_ranks(values, mask), expected)


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("pairwize", {}, "pairwise_hinge"),
        ("listwise", {"margin": 1.0}, "temperature"),
        ("pairwise", {"top_pct": 0.7}, "top_pct is 0.7"),
        ("lambdarank", {"bottom_pct": 0.0}, "bottom_pct is 0.0"),
        ("pairwise", {"pairs": "some"}, "tails, all"),
        ("pairwise", {"weighting": "ndcg"}, "none, difference"),
        ("pairwise", {"max_pairs": 0}, "max_pairs is 0"),
        ("listwise", {"temperature": 0.0}, "temperature"),
        ("spearman", {"temperature": math.inf}, "temperature"),
        ("neural_ndcg", {"temperature": math.nan}, "temperature"),
        ("huber", {"delta": 0.0}, "delta"),
        ("mixture", {}, "loss.terms"),
        ("mixture", {"terms": {}}, "loss.terms"),
        ("mixture", {"terms": {"pairwise": -1.0}}, "terms.pairwise is -1.0"),
        ("mixture", {"terms": {"pairwize": 1.0}}, "pairwize"),
        ("mixture", {"terms": {"mixture": 1.0}}, "cannot be mixed"),
        ("mixture", {"terms": {"ic": 1.0}, "width": 3}, "width"),
        ("no_such_package.losses:best", {}, "no_such_package"),
        (user_path("absent"), {}, "absent"),
        (user_path("VARIANTS"), {}, "no function"),
        (user_path("user_weak"), {}, "without a gradient"),
        (user_path("user_shape"), {}, "for two days"),
        (user_path("user_nan"), {}, "not finite"),
        (user_path("user_error"), {}, "no such day"),
        (user_path("user_mean"), {"margin": 1.0}, "no parameter"),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_remedy(
    name: str, parameters: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        make_loss(name, **parameters)


def test_none_stands_for_the_default_of_each_loss() -> None:
    assert make_loss("pairwise_hinge", margin=None).margin == 1.0
    assert make_loss("pairwise", margin=None, max_pairs=None).margin == 0.0
    assert make_loss("listwise", temperature=None).temperature == 3.0


def test_aliases_mean_the_same_loss() -> None:
    assert type(make_loss("mse")) is type(make_loss("pointwise"))
    assert type(make_loss("pairwise_logistic")) is type(make_loss("pairwise"))
    assert type(make_loss("listwise_softmax")) is type(make_loss("listwise"))
    assert canonical_loss("listnet") == "listwise"
    assert canonical_loss(user_path()) == user_path()
    assert loss_parameters(user_path()) == []
    assert {"terms", "top_pct", "temperature", "delta"} <= set(
        loss_parameters("mixture")
    )
    assert "mixture" in loss_names()
