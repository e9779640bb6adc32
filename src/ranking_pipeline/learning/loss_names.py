"""Other names of the losses; apart from them, so that reading them needs no torch."""

LOSS_ALIASES = {
    "pairwise_logistic": "pairwise",
    "listwise_softmax": "listwise",
    "listnet": "listwise",
    "mse": "pointwise",
    "hybrid": "mixture",
}
