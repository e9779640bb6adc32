"""How to train: the options of the loop, all plain values."""

from __future__ import annotations

from dataclasses import dataclass

from ranking_pipeline.errors import UserError

_AT_LEAST_ONE = (
    "epochs",
    "timestamps_per_batch",
    "symbols_per_timestamp",
    "timestamps_per_epoch",
    "patience",
    "max_windows_per_pass",
    "bars_per_block",
)


@dataclass(frozen=True)
class LoopConfig:
    """How to train.

    Attributes
    ----------
    epochs : int
        At most this many passes over the training bars.
    timestamps_per_batch : int
        Bars B whose whole cross-sections make one step.
    symbols_per_timestamp : int or None
        Symbols drawn from each bar in each epoch; None takes all.
    timestamps_per_epoch : int or None
        Bars visited in an epoch; None visits all.
    shuffle_timestamps : bool
        Visit the bars in a new seeded order each epoch; a cross-section stays whole.
    learning_rate, weight_decay : float
        Of AdamW (Loshchilov and Hutter, 2019); decay is decoupled from the gradient.
    schedule : str
        How the learning rate moves: constant, cosine or plateau; see
        :class:`ranking_pipeline.learning.schedule.Schedule`.
    warmup_share : float
        Share of all steps over which the learning rate rises linearly.
    gradient_clip : float
        Largest norm of the gradient.
    patience : int
        Epochs without a better validation metric before training stops.
    min_delta : float
        Improvement that counts as better; a tie keeps the earlier epoch.
    seed : int
        Of the order, the draws and the dropout.
    precision : str
        ``float32``, or ``bfloat16`` for the inner layers of the network alone. Scores,
        loss and metrics are always float32, and so is scoring.
    compile : bool
        Compile network and loss with torch.compile; not for recurrent networks.
    cuda_graph : bool
        Replay each step as a CUDA graph.
    max_windows_per_pass : int or None
        Larger batches go through the network in chunks, with the same gradient.
    bars_per_block : int or None
        A step takes this many consecutive bars instead of random ones.
    """

    epochs: int = 50
    timestamps_per_batch: int = 32
    symbols_per_timestamp: int | None = None
    timestamps_per_epoch: int | None = None
    shuffle_timestamps: bool = True
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    gradient_clip: float = 1.0
    patience: int = 10
    min_delta: float = 1e-4
    seed: int = 0
    schedule: str = "constant"
    warmup_share: float = 0.0
    precision: str = "float32"
    compile: bool = False
    cuda_graph: bool = False
    max_windows_per_pass: int | None = None
    bars_per_block: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no training can be made of.

        Raises
        ------
        UserError
            Naming the first value that is out of range.
        """
        for name in _AT_LEAST_ONE:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} is {value}; use 1 or more.")
        for name in ("learning_rate", "gradient_clip"):
            value = getattr(self, name)
            if not value > 0:
                raise UserError(f"{name} is {value}; use a number above 0.")
