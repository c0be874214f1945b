"""Settings of runs of the ledger that are variants of others, by what is other in them.

What was expected of each is in expected.toml.
"""

from typing import Any

# Instead of each pair's own 1,000 negatives outside the user's items, which take seven
# times as long: 1,024 that a batch shares, the user's items masked.
SHARED: dict[str, Any] = {"negatives": ("uniform:1024",), "mask_user_positives": True}

AT_20_AMAZON: dict[str, Any] = {
    **SHARED,
    "temperature": 0.2,
    "hyper": ("width=2.25", "every=20"),
}

# BPR as Cornac trains it: 10 factors and item biases, one pair at a time at the rate
# 0.001, with 0.01 of each row that a pair touches as its decay. Here 50 pairs at a time
# make a step; a loss that is a mean takes 50 times the rate, and decay a 50th.
AS_CORNAC: dict[str, Any] = {
    "layers": "bias",
    "dim": 11,
    "table_scale": 0.0289,  # of even values over a tenth
    "optimiser": "sgd",
    "batch": 50,
    "learning_rate": 0.05,
    "weight_decay": 2e-4,
    "epochs": 200,
}
# It skips a pair whose negative is one of the user's, where another is drawn here.
SKIPPED: dict[str, Any] = {
    "negatives": ("uniform-per-row:1",),
    "mask_user_positives": True,
}

# As 16 loader workers draw them in the first release of the published code, which seeds
# one generator and draws from another: all have the same negatives, in every epoch.
WORKERS: dict[str, Any] = {"mask_user_positives": True, "loader_workers": 16}

# Variants of BPR on Electronics; a public rerun has 0.0379 / 0.0218 for its row.
OF_BPR: dict[str, dict[str, Any]] = {
    "negatives that workers repeat": {**WORKERS, "negatives": ("uniform-per-row:1",)},
    "cosine": {"output": "cosine"},
    "cosine, negatives that workers repeat": {
        **WORKERS,
        "negatives": ("uniform-per-row:1",),
        "output": "cosine",
    },
}

# The one other loss of these tables that has an arm here. The second run, with the
# published negatives, was added when the first had 0.0815 and 0.0513.
OF_ADVERSARIAL: dict[str, tuple[dict[str, Any], int]] = {  # changes, seeds
    "": (SHARED, 3),
    " (own negatives)": (
        {"negatives": ("uniform-outside:1000",), "mask_user_positives": False},
        2,
    ),
}

OF_LAMBDA_LOSS: dict[str, dict[str, Any]] = {
    "cosine": {"output": "cosine"},
    "small initial tables": {"table_scale": 0.0},
    "any other item as negative": {"negatives": ("uniform-per-row:1",)},
    "57 steps an epoch": {"batch": 1016},
    "weight decay 1e-6": {"weight_decay": 1e-6},
    "weight decay 1e-4": {"weight_decay": 1e-4},
    "rate 0.01": {"learning_rate": 0.01},
    "rate 0.01 and weight decay 1e-4": {"learning_rate": 0.01, "weight_decay": 1e-4},
}

# SL on Electronics with 1,000 negatives of each pair's own: rate, seeds.
OWN_NEGATIVES: dict[str, tuple[float, int]] = {
    "own negatives": (0.01, 1),
    "own negatives and rate 0.1": (0.1, 3),
}

# Variants of SL on Electronics, at the temperature 0.2 unless they have their own.
OF_SL: dict[str, dict[str, Any]] = {
    "rate 0.1": {"learning_rate": 0.1},
    "rate 0.1, ranked by dot products": {"learning_rate": 0.1, "served": "dot"},
    "temperature 0.1": {"temperature": 0.1},
    "temperature 0.1 and rate 0.1": {"temperature": 0.1, "learning_rate": 0.1},
    "small initial tables": {"table_scale": 0.0},
    "small initial tables and rate 0.1": {"table_scale": 0.0, "learning_rate": 0.1},
    "weight decay 1e-6": {"weight_decay": 1e-6},
    "temperature 0.15 and rate 0.1": {"temperature": 0.15, "learning_rate": 0.1},
    "temperature 0.25 and rate 0.1": {"temperature": 0.25, "learning_rate": 0.1},
    "the user's items among the negatives, rate 0.1": {
        "learning_rate": 0.1,
        "mask_user_positives": False,
    },
    "own negatives that workers repeat, rate 0.1": {
        **WORKERS,
        "learning_rate": 0.1,
        "negatives": ("uniform-per-row:1000",),
    },
    "200 negatives of each pair's own, rate 0.1": {
        "learning_rate": 0.1,
        "negatives": ("uniform-outside:200",),
        "mask_user_positives": False,
    },
}

# LLPAUC on Electronics; the variant was added when the first had 0.0174.
OF_LLPAUC: dict[str, dict[str, Any]] = {"": {}, " (cosine)": {"output": "cosine"}}

# SL@20 and SL on MovieLens 100K with other negatives than the published 200 of each
# pair's own: the study at-k has 1,024 that a batch shares, and there SL@20 is below SL
# by 0.009, where it is 0.002 above with the published ones. The last two, which
# separate the number from the sharing, were added when the first had been seen.
OTHER_NEGATIVES: dict[str, dict[str, Any]] = {
    "1,024 shared negatives": SHARED,
    "200 shared negatives": {
        "negatives": ("uniform:200",),
        "mask_user_positives": True,
    },
    "1,024 negatives of each pair's own": {"negatives": ("uniform-outside:1024",)},
}

# Rows with less of a validation part: arm and settings. The published code takes at
# least one pair of each user. 45 % of the users of Electronics have 8 or 9 train pairs,
# a tenth of which, rounded down, is none, so that 6 % of all pairs validate and not
# 9 %. What is missing in the softmax rows goes with that difference: 3 % of NDCG@20
# there, 1 % on Movies and Gowalla (8 % for 9 %), none on MovieLens 100K (alike) and on
# the shift (no validation part).
ROUNDED_DOWN: dict[str, tuple[str, dict[str, Any]]] = {
    "electronic sl": ("mf-cosine", {**SHARED, "temperature": 0.2}),
    "electronic psl-relu": (
        "mf-cosine",
        {**SHARED, "loss": "psl-relu", "temperature": 0.1},
    ),
    "electronic sl-at-20": ("mf-sl-at-k", AT_20_AMAZON),
    "electronic bpr": ("mf-dot", {"weight_decay": 1e-5}),
}
