"""What do cached vectors add: draws, a flatter distribution, or nothing?

A FIFO of past positives draws from the click share, as the batch does: more draws and
more distinct items per step (825 with 4,096 slots, 322 in the batch), but none that the
batches of an epoch lack. A cache of one vector per item, drawn uniformly, adds rare
items with stale vectors: beside it stand as many fresh uniform draws (``mixed``),
beside the FIFO as many fresh draws from the click share (``mixed-popularity``).
``warmup`` is in steps, of which an epoch has about 96. ``stored`` is the published
estimator, where each vector keeps the q of when it was stored: it can differ only while
q is being estimated. ``by-size`` corrects the FIFO's columns as if each had the
probability 1 / size, in place of its item's click share: right for a cache that holds
each item once, not for one of positives.

Cached vectors take no gradient: an item is pulled by its positives in full, and pushed
away by the batch's share of the negatives only. ``push`` puts the rest of the push on
the batch's columns (research/logits/candidates.py); ``stopped`` is the control: fresh
columns whose gradient is stopped. Staleness cannot explain what it loses.

    python -m experiments run cache                about 24 minutes on 2 cores, 5 seeds
    python -m experiments run cache --quick        about 1 minute

Expect on MovieLens 100K: R@20 0.237 without a cache; less with either cache as
published, down to 0.003 with 8,192 vectors, and 0.129 for the stopped control; 0.236 to
0.244 with the push, none of them significantly different from no cache.
"""

import functools

from experiments.grid import Grid, Prediction
from experiments.recipe import FIRST
from research.contrast import WORSE, Contrast
from research.registry import deferred

_STOPPED, _SMALL = "mixed-popularity+logq-stopped", {"draws": 1024}

CACHE = Grid(
    name="cache",
    question="What do cached vectors add: draws, a flatter distribution, or nothing?",
    topic="negatives",
    arms=(
        "in-batch+logq",
        "fifo-cache+logq",
        "fifo-cache+logq+push",
        "fifo-cache+logq-by-size",
        "fifo-cache+logq-by-size+push",
        "vector-cache+logq",
        "vector-cache+logq+push",
        "mixed+logq",
        "mixed-popularity+logq",
        "mixed-popularity+logq-stopped",
        "fifo-cache+logq-streaming",
        "fifo-cache-stored+logq",
    ),
    reference="in-batch+logq",
    changes=FIRST,
    minutes="24",
    contrasts=(
        *(
            Contrast(f"{cache}{push}", "in-batch+logq", at={"draws": draws})
            for cache, draws in (
                *(("fifo-cache+logq", 1024), ("fifo-cache+logq", 8192)),
                ("vector-cache+logq", 1024),
            )
            for push in ("", "+push")
        ),
        Contrast(_STOPPED, "in-batch+logq", at=_SMALL),
        Contrast("fifo-cache+logq", _STOPPED, at=_SMALL),
        Contrast("fifo-cache+logq+push", "mixed-popularity+logq", at=_SMALL),
        Contrast("vector-cache+logq+push", "mixed+logq", at=_SMALL),
        Contrast(
            *("fifo-cache+logq", "fifo-cache+logq", "recall", 20),
            *({"draws": 4096, "fifo-cache.warmup": 1000}, {"draws": 4096}),
        ),
        Contrast(
            *("fifo-cache-stored+logq", "fifo-cache+logq-streaming", "recall", 20),
            {"draws": 4096},
        ),
        *(
            Contrast(
                f"fifo-cache+logq-by-size{push}", against, at=_SMALL, expected=WORSE
            )
            for push in ("", "+push")
            for against in (f"fifo-cache+logq{push}", "in-batch+logq")
        ),
        Contrast(
            *("fifo-cache+logq-by-size+push", "fifo-cache+logq+push"),
            at={"draws": 4096},
            expected=WORSE,
        ),
    ),
    prediction=Prediction(
        text="Of q by the cache's size, which came after the other arms: it leaves "
        "the popularity of the cached columns uncorrected, so that recall@20 is "
        "lower than with the click share, after Holm, at 1,024 draws with the "
        "push and without it, and at 4,096 with it. At 1,024 it is lower than "
        "without a cache, with the push and without it.",
        on=("ml-100k",),
    ),
    arm_sweeps={
        "in-batch+logq": ({},),
        "fifo-cache+logq": (
            {"draws": (1024, 4096, 8192)},
            {"draws": (4096,), "fifo-cache.warmup": (500, 1000)},
        ),
        "fifo-cache+logq+push": ({"draws": (1024, 4096, 8192)},),
        "fifo-cache+logq-by-size": ({"draws": (1024, 4096)},),
        "fifo-cache+logq-by-size+push": ({"draws": (1024, 4096)},),
        "vector-cache+logq": (
            {"draws": (256, 1024)},
            {"draws": (1024,), "vector-cache.warmup": (500,)},
        ),
        "vector-cache+logq+push": ({"draws": (256, 1024)},),
        "mixed+logq": ({"draws": (256, 1024)},),
        "mixed-popularity+logq": ({"draws": (1024, 4096)},),
        "mixed-popularity+logq-stopped": ({"draws": (1024,)},),
        "fifo-cache+logq-streaming": ({"draws": (4096,)},),
        "fifo-cache-stored+logq": ({"draws": (4096,)},),
    },
    figures={
        "arms": functools.partial(
            deferred("research.report.figures:sweep_figure"),
            swept="draws",
            metrics=("recall", "recall_item"),
            label="columns beside the batch's 512",
            without=("fifo-cache.warmup", "vector-cache.warmup"),
            height=3.2,
        )
    },
)
