"""The registry of losses: adding one is a function and one entry here."""

from research.losses.contrastive import debiased, hard_negative
from research.losses.entry import (
    MASK,
    NEGATIVES,
    ORDER,
    SHIFT,
    SQUARE,
    UNIFORM_Q,
    VECTORS,
    Context,
    Loss,
)
from research.losses.pairwise import bpr, hinge
from research.losses.pointwise import binary_nce, cosine_contrastive, gbce, sigmoid
from research.losses.softmax import (
    bilateral_softmax,
    decoupled_softmax,
    sampled_softmax,
)
from research.losses.square import align_uniform, siglip
from research.losses.weighted import weighted_softmax

__all__ = ["LOSSES", "MASK", "ORDER", "SHIFT", "UNIFORM_Q", "Context", "Loss"]

# Only differences of logits count, or each logit by itself.
_LISTWISE = frozenset({SHIFT, ORDER, MASK, UNIFORM_Q})
_POINTWISE = frozenset({ORDER, MASK})
_SHARE = (0.1, "share of the negatives that are positives in truth")

LOSSES: dict[str, Loss] = {
    "sampled-softmax": Loss(sampled_softmax, laws=_LISTWISE, one_pass=True),
    "decoupled-softmax": Loss(decoupled_softmax, laws=_LISTWISE),
    "debiased": Loss(debiased, {"positive_share": _SHARE}, laws=_LISTWISE),
    "hard-negative": Loss(
        hard_negative,
        {"positive_share": _SHARE, "hardness": (1.0, "how far to the hardest: 0 none")},
        laws=_LISTWISE,
    ),
    "bilateral-softmax": Loss(
        bilateral_softmax,
        {"power": (1.06, "power of the negatives' sum: 1 is the decoupled softmax")},
        laws=_POINTWISE,
    ),
    "bpr": Loss(bpr, laws=_LISTWISE),
    "hinge": Loss(hinge, {"margin": (1.0, "gap asked for")}, laws=_LISTWISE),
    "cosine-contrastive": Loss(
        cosine_contrastive,
        {
            "threshold": (0.9, "logit below which a negative doesn't count"),
            "negative_weight": (10.0, "weight of the negatives' mean"),
        },
        laws=_POINTWISE,
    ),
    "weighted-softmax": Loss(weighted_softmax, laws=_LISTWISE),
    "sigmoid": Loss(sigmoid, trainable={"bias": 0.0}, laws=_POINTWISE),
    "binary-nce": Loss(binary_nce, trainable={"bias": 0.0}, laws=_POINTWISE),
    "gbce": Loss(
        gbce,
        {"calibration": (0.75, "0 is plain cross-entropy, 1 takes out all of it")},
        trainable={"bias": 0.0},
        laws=_POINTWISE,
    ),
    "siglip": Loss(
        siglip,
        trainable={"log_scale": 0.0, "bias": -10.0},
        needs=frozenset({NEGATIVES, SQUARE}),
        laws=_POINTWISE,
    ),
    # It sees vectors alone, so nothing done to logits changes it.
    "align-uniform": Loss(
        align_uniform,
        {"uniformity": (1.0, "weight of the uniformity of both sides")},
        needs=frozenset({VECTORS}),
        laws=_LISTWISE,
    ),
}
