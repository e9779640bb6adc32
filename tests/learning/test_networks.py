"""Networks: what holds for every name of the registry."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.device import resolve_device, torch_threads
from ranking_pipeline.learning.layout import Layout
from ranking_pipeline.learning.networks import (
    NetworkSpec,
    Scorer,
    make_network,
    network_names,
)

RECURRENT = {"lstm", "gru", "alstm", "cross_stock", "tft"}


def layout_of(mask: Tensor) -> Layout:
    slots = mask.flatten().nonzero()[:, 0]
    return Layout(slots, mask, np.asarray(mask.sum(1)))


def full_layout(n_bars: int, n_symbols: int) -> Layout:
    return layout_of(torch.ones(n_bars, n_symbols, dtype=torch.bool))


def network_of(name: str, length: int = 6, outputs: int = 1, **sizes: float) -> Scorer:
    spec = NetworkSpec(name, **{"hidden": 8, **sizes})  # type: ignore[arg-type]
    return make_network(spec, (length, 5), outputs, seed=1)


@pytest.mark.parametrize("name", network_names())
@pytest.mark.parametrize("outputs", [1, 3])
def test_one_row_of_scores_per_window(name: str, outputs: int) -> None:
    network = network_of(name, outputs=outputs, layers=2, dropout=0.1).eval()
    windows = torch.randn(8, 6, 5)
    scores = network(windows, full_layout(4, 2))
    assert scores.shape == ((8,) if outputs == 1 else (8, 3))
    assert scores.dtype == torch.float32
    # The windows of one bar are scored without regard to the other bars.
    alone = network(windows[2:4], full_layout(1, 2))
    torch.testing.assert_close(alone, scores[2:4])


@pytest.mark.parametrize("name", [n for n in network_names() if n != "cross_stock"])
def test_each_window_is_scored_on_its_own(name: str) -> None:
    network = network_of(name, layers=2).eval()
    assert not network.crosses
    windows = torch.randn(6, 6, 5)
    scores = network(windows, full_layout(2, 3))
    for place in range(6):
        alone = network(windows[place : place + 1], full_layout(1, 1))
        torch.testing.assert_close(alone, scores[place : place + 1])


@pytest.mark.parametrize("name", network_names())
@pytest.mark.parametrize("length", [2, 3, 7])
def test_every_weight_takes_part_at_any_length(name: str, length: int) -> None:
    network = network_of(name, length, outputs=2, layers=2)
    scores = network(torch.randn(6, length, 5), full_layout(2, 3))
    (scores * torch.randn(6, 2)).sum().backward()
    for part, weight in network.named_parameters():
        assert weight.grad is not None, part
        assert bool(weight.grad.isfinite().all()), part


@pytest.mark.parametrize("name", network_names())
def test_no_windows_give_no_scores(name: str) -> None:
    network = network_of(name, outputs=3)
    empty = layout_of(torch.zeros(2, 4, dtype=torch.bool))
    scores = network(torch.zeros(0, 6, 5), empty)
    assert scores.shape == (0, 3)
    scores.sum().backward()
    for weight in network.parameters():
        assert weight.grad is None or float(weight.grad.abs().sum()) == 0


def _attention(width: int) -> int:
    return 4 * (width * width + width)


def _feedforward(width: int) -> int:
    return (width * 4 * width + 4 * width) + (4 * width * width + width)


def _block(width: int) -> int:
    return _attention(width) + _feedforward(width) + 2 * 2 * width


def _gates(n_gates: int, width: int, hidden: int) -> int:
    return n_gates * hidden * (width + hidden) + 2 * n_gates * hidden


def _gated_add(width: int, outputs: int) -> int:
    return 2 * outputs * (width + 1) + 2 * outputs


def _gated_residual(inputs: int, width: int, outputs: int) -> int:
    skip = 0 if inputs == outputs else outputs * (inputs + 1)
    dense = width * (inputs + 1) + width * (width + 1)
    return skip + dense + _gated_add(width, outputs)


def _nhits_block(h: int, n: int, places: int, ahead: int, *, last: bool) -> int:
    hidden = h * (5 * places + 1) + (n - 1) * h * (h + 1)
    return hidden + 5 * (ahead + (0 if last else places)) * (h + 1)


# Weights by hand: H units, L = 6 bars, C = 5 channels, the head left out.
BODIES: dict[str, Callable[[int, int], tuple[int, int]]] = {
    "linear": lambda h, n: (0, 30),
    "mlp": lambda h, n: (30 * h + h + (n - 1) * (h * h + h), h),
    "lstm": lambda h, n: (_gates(4, 5, h) + (n - 1) * _gates(4, h, h), h),
    "gru": lambda h, n: (_gates(3, 5, h) + (n - 1) * _gates(3, h, h), h),
    "alstm": lambda h, n: (5 * h + h + n * _gates(4, h, h) + h * h + h + h, 2 * h),
    # Kernels 2 and 3 at dilations 1 and 2: 1 + 2 x 2 = 5 bars back.
    "tcn": lambda h, n: (
        5 * h + h + (2 + 3) * h * h + 2 * h + 2 * (n - 1) * (h * h + h),
        h,
    ),
    "transformer": lambda h, n: (5 * h + h + 6 * h + n * _block(h) + 2 * h, h),
    "mixer": lambda h, n: (
        5 * h
        + h
        + n * (6 * h // 2 + h // 2 + h // 2 * 6 + 6 + _feedforward(h) + 4 * h)
        + 2 * h,
        h,
    ),
    "stock_transformer": lambda h, n: (
        5 * h + h + 6 * h + 2 * n * (_attention(h) + _feedforward(h)),
        h,
    ),
    "cross_stock": lambda h, n: (
        _gates(3, 5, h) + n * (8 * h + 2 * _block(h)) + 2 * h,
        h,
    ),
    # Channels 5 -> H -> 2 H -> 2 H, kernels of 3; the bars 6 -> 3 -> 2 -> 1.
    "cnn1d": lambda h, n: {
        1: (5 * h * 3 + h + 2 * h, 3 * h),
        3: (
            5 * h * 3 + h + h * 2 * h * 3 + 2 * h * 2 * h * 3 + 4 * h + 2 * h + 8 * h,
            2 * h,
        ),
    }[n],
    # Rates 8, 4 and 1: 1, 2 and 6 places of 6 bars, and 1, 2 and 8 knots of 8 ahead.
    "nhits": lambda h, n: (
        _nhits_block(h, n, 1, 1, last=False)
        + _nhits_block(h, n, 2, 2, last=False)
        + _nhits_block(h, n, 6, 8, last=True),
        5 * 8,
    ),
    "tft": lambda h, n: (
        2 * 5 * h
        + _gated_residual(5 * h, h, 5)
        + 5 * _gated_residual(h, h, h)
        + n * _gates(4, h, h)
        + 3 * _gated_add(h, h)
        + 2 * _gated_residual(h, h, h)
        + 2 * (h * h + h)
        + h // 4 * (h + 1)
        + h // 4 * h,
        h,
    ),
    # One patch of 8 bars.
    "patchtst": lambda h, n: (8 * h + h + h + n * _block(h) + 2 * h, 5 * h),
    # 30 tokens, known or unknown, and a summary; the first attention has no norm before it.
    "tab_transformer": lambda h, n: (
        3 * 30 * h + h + n * _block(h) - 2 * h + 2 * h,
        h,
    ),
}


@pytest.mark.parametrize("name", network_names())
@pytest.mark.parametrize("layers", [1, 3])
def test_weights_are_as_many_as_by_hand(name: str, layers: int) -> None:
    network = network_of(name, outputs=3, layers=layers, hidden=12)
    body, width = BODIES[name](12, layers)
    counted = sum(weight.numel() for weight in network.parameters())
    assert counted == body + 3 * width + 3


@pytest.mark.parametrize("name", network_names())
def test_weights_come_from_the_seed_and_leave_the_global_one_alone(name: str) -> None:
    def weights(seed: int) -> Tensor:
        network = make_network(NetworkSpec(name, 8, 1, 0.0), (4, 2), seed=seed)
        return torch.cat([part.flatten() for part in network.parameters()])

    before = torch.get_rng_state()
    first = weights(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, weights(3))
    assert not torch.equal(first, weights(4))


@pytest.mark.parametrize("name", [n for n in network_names() if n != "linear"])
def test_dropout_acts_in_training_alone_and_repeats_by_seed(name: str) -> None:
    network = network_of(name, dropout=0.5, layers=2)
    windows, layout = torch.randn(8, 6, 5), full_layout(2, 4)

    def scores(seed: int) -> Tensor:
        torch.manual_seed(seed)
        drawn: Tensor = network(windows, layout)
        return drawn

    with torch.random.fork_rng():
        assert torch.equal(scores(1), scores(1))
        assert not torch.equal(scores(1), scores(2))
        network.eval()
        assert torch.equal(scores(1), scores(2))


@pytest.mark.parametrize("name", network_names())
def test_the_order_of_bars_matters(name: str) -> None:
    network = network_of(name).eval()
    windows, layout = torch.randn(6, 6, 5), full_layout(2, 3)
    swapped = windows[:, [0, 2, 1, 3, 4, 5]]
    difference = network(windows, layout) - network(swapped, layout)
    assert float(difference.abs().max().detach()) > 1e-5


@pytest.mark.parametrize("name", network_names())
def test_first_scores_are_small(name: str) -> None:
    network = make_network(NetworkSpec(name), (32, 5), seed=2).eval()
    scores = network(torch.randn(100, 32, 5), full_layout(5, 20)).detach()
    assert 0 < float(scores.std()) < 0.3
    assert float(scores.mean().abs()) < 0.3


@pytest.mark.parametrize("name", network_names())
def test_a_return_of_three_bars_ago_is_learned(name: str) -> None:
    draw = torch.Generator().manual_seed(5)
    network = make_network(NetworkSpec(name, 16), (6, 2), seed=1)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    layout = full_layout(8, 16)
    for _ in range(150):
        windows = torch.randn(128, 6, 2, generator=draw)
        error = (network(windows, layout) - windows[:, -4, 1]).square().mean()
        optimizer.zero_grad()
        error.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    unseen = torch.randn(128, 6, 2, generator=draw)
    pair = torch.stack([network(unseen, layout).detach(), unseen[:, -4, 1]])
    assert float(torch.corrcoef(pair)[0, 1]) > 0.9


@pytest.mark.parametrize("name", network_names())
def test_a_stored_state_gives_the_same_scores(name: str) -> None:
    trained, other = (
        network_of(name),
        make_network(NetworkSpec(name, 8), (6, 5), seed=9),
    )
    file = io.BytesIO()
    torch.save(trained.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    windows, layout = torch.randn(6, 6, 5), full_layout(2, 3)
    assert torch.equal(trained(windows, layout), other(windows, layout))


def test_stored_models_keep_their_names() -> None:
    gates = [f"body.body.{part}_l0" for part in ("weight_ih", "weight_hh")]
    gates += [f"body.body.{part}_l0" for part in ("bias_ih", "bias_hh")]
    head = ["body.head.weight", "body.head.bias"]
    expected = {
        "linear": head,
        "mlp": ["body.body.0.weight", "body.body.0.bias", *head],
        "lstm": gates + head,
        "gru": gates + head,
    }
    for name, names in expected.items():
        assert list(network_of(name).state_dict()) == names


@pytest.mark.parametrize("name", network_names())
def test_half_precision_scores_nearly_the_same(name: str) -> None:
    network = network_of(name, layers=2)
    windows, layout = torch.randn(8, 6, 5), full_layout(2, 4)
    exact = network(windows, layout)
    with torch.autocast("cpu", torch.bfloat16):
        rough = network(windows, layout)
    torch.testing.assert_close(rough.float(), exact, atol=0.02, rtol=0.05)
    rough.float().square().sum().backward()
    assert all(bool(w.grad.isfinite().all()) for w in network.parameters())  # type: ignore[union-attr]


class _Names(TorchDispatchMode):
    """Names of the operations that run."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.seen.add(func.name())
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", network_names())
def test_nothing_asks_the_device_for_a_value(name: str) -> None:
    network = network_of(name, layers=2)
    windows = torch.randn(5, 6, 5)
    layout = layout_of(torch.tensor([[True, True, False], [True, True, True]]))
    names = _Names()
    with names:
        network(windows, layout).sum().backward()
    assert any("mm" in name or "conv" in name for name in names.seen)
    reads = {"_local_scalar_dense", "nonzero", "masked_select", "index.Tensor"}
    assert not [n for n in names.seen if n.removeprefix("aten::") in reads]


@pytest.mark.parametrize("name", sorted(set(network_names()) - RECURRENT))
def test_the_whole_network_is_one_graph(name: str) -> None:
    network = network_of(name, layers=2)
    torch._dynamo.reset()  # it refuses to compile one forward for many kinds
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    windows, layout = torch.randn(6, 6, 5), full_layout(2, 3)
    expected = network(windows, layout)
    expected.sum().backward()
    wanted = [weight.grad for weight in network.parameters()]
    network.zero_grad()
    scores = compiled(windows, layout)
    torch.testing.assert_close(scores, expected)
    scores.sum().backward()
    for weight, gradient in zip(network.parameters(), wanted, strict=True):
        torch.testing.assert_close(weight.grad, gradient, atol=1e-4, rtol=1e-4)


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="alstm, cnn1d, cross_stock, gru, linear"):
        make_network(NetworkSpec("rnn"), (4, 2), seed=0)
    for name in RECURRENT:
        with pytest.raises(UserError, match=rf"network\.hidden is 256; a {name}.*128"):
            make_network(NetworkSpec(name, 256), (4, 2), seed=0)
    for name in ("transformer", "cross_stock", "tft", "patchtst", "tab_transformer"):
        with pytest.raises(UserError, match=r"network\.hidden is 10.*network\.heads"):
            make_network(NetworkSpec(name, 10, heads=3), (4, 2), seed=0)
    with pytest.raises(UserError, match=r"network\.kernel_size is 2"):
        make_network(NetworkSpec("tcn", kernel_size=2), (4, 2), seed=0)
    with pytest.raises(UserError, match=r"network\.kernel_size is 4.*cnn1d.*odd"):
        make_network(NetworkSpec("cnn1d", kernel_size=4), (4, 2), seed=0)
    for pooling in ((), (4, 0)):
        with pytest.raises(UserError, match=r"network\.pooling is \("):
            NetworkSpec("nhits", pooling=pooling)


@pytest.mark.parametrize(
    "size",
    [
        "hidden",
        "layers",
        "heads",
        "kernel_size",
        "market_tokens",
        "prediction_layers",
        "patch_length",
        "patch_stride",
        "horizon",
    ],
)
def test_a_size_of_nothing_is_refused(size: str) -> None:
    with pytest.raises(UserError, match=rf"network\.{size} is 0"):
        NetworkSpec("mlp", **{size: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_a_dropout_that_leaves_nothing_is_refused(dropout: float) -> None:
    with pytest.raises(UserError, match=r"network\.dropout"):
        NetworkSpec("mlp", dropout=dropout)


def test_the_device_is_honoured_or_refused() -> None:
    assert resolve_device("cpu").type == "cpu"
    available = torch.cuda.is_available()
    assert resolve_device("auto").type == ("cuda" if available else "cpu")
    if not available:
        with pytest.raises(UserError, match="no GPU"):
            resolve_device("cuda")
    with pytest.raises(UserError, match="'auto'"):
        resolve_device("gpu")


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
