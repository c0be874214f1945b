"""Is a cache better than none at any size, schedule of the learning rate, or epoch?

A cached vector is as old as the cache is long, in steps: with M vectors and batches of
B, M / B. What its age costs must fall with the learning rate, so each size is trained
at a constant rate and at one that a cosine takes to 0. Every epoch is validated and the
best one is kept, so that a collapse late in training costs nothing here. Beside the
cache as published stand the cache with the gradient that stored vectors lack, as many
fresh columns whose gradient is stopped, and as many fresh columns.

    python -m experiments run cache-schedule       about 25 minutes on 2 cores, 3 seeds
    python -m experiments run cache-schedule --quick  about 2 minutes

Expect on MovieLens 100K: no size of the published cache above doing without.
"""

import functools

from experiments.grid import Grid, Sweep
from research.contrast import (
    MORE,
    NOT_BETTER,
    NOT_WORSE,
    WORSE,
    Contrast,
    Part,
    Stated,
    Term,
)
from research.registry import deferred

_NONE, _FIFO, _PUSH = "in-batch+logq", "fifo-cache+logq", "fifo-cache+logq+push"
_FRESH, _STOPPED = "mixed-popularity+logq", "mixed-popularity+logq-stopped"
# M / B of 1 to 16: a FIFO smaller than a batch would be overwritten by each one.
_SIZES = (512, 1024, 2048, 4096, 8192)
_FEWER = _SIZES[::2]
_FALLING = {"rate_end": 0.0}


def _sweeps(sizes: tuple[float, ...]) -> tuple[Sweep, ...]:
    return {"draws": sizes}, {"draws": sizes, "rate_end": (0.0,)}


def _at(size: float, falling: bool) -> dict[str, float]:
    return {"draws": size, **(_FALLING if falling else {})}


def _lost(
    arm: str, size: float, falling: bool, factor: float = 1.0
) -> tuple[Term, ...]:
    """What an arm has less than none at a size and a learning rate, times a factor."""
    none = Term(_NONE, _FALLING if falling else {}, factor)
    return none, Term(arm, _at(size, falling), -factor)


def _loss(
    arm: str, size: float, falling: bool, factor: float = 1.0
) -> tuple[Part, ...]:
    return (Part(_lost(arm, size, falling, factor)),)


_SWEEP_FIGURE = functools.partial(
    deferred("research.report.figures:sweep_figure"),
    swept="draws",
    metrics=("recall", "recall_item"),
    label="columns beside the batch's 512",
    height=3.2,
)

CACHE_SCHEDULE = Grid(
    name="cache-schedule",
    question="Is a cache better than none at any size, learning rate, or epoch?",
    topic="negatives",
    arms=(_NONE, _FIFO, _PUSH, _STOPPED, _FRESH),
    reference=_NONE,
    seeds=3,
    minutes="25",
    changes={"fit_on": "train", "evaluate_every": 1},
    arm_sweeps={
        _NONE: ({}, {"rate_end": (0.0,)}),
        _FIFO: _sweeps(_SIZES),
        _STOPPED: _sweeps(_SIZES),
        _PUSH: _sweeps(_FEWER),
        _FRESH: _sweeps(_FEWER),
    },
    contrasts=(
        *(
            Contrast(
                *(_FIFO, _NONE, "recall", 20, _at(size, fall)),
                _FALLING if fall else {},
                expected=NOT_BETTER if size == _SIZES[0] else WORSE,
            )
            for fall in (False, True)
            for size in _SIZES
        ),
        *(
            Contrast(
                *(_PUSH, _FRESH, "recall", 20, _at(size, fall), _at(size, fall)),
                expected=NOT_WORSE,
            )
            for fall in (False, True)
            for size in _FEWER
        ),
        *(
            Contrast(other, _STOPPED, "recall", 20, at, _at(1024, fall))
            for fall in (False, True)
            for other, at in (
                (_FIFO, _at(1024, fall)),
                (_NONE, _FALLING if fall else {}),
            )
        ),
        Contrast(_NONE, _NONE, "recall", 20, _FALLING, {}),
    ),
    figures={
        "constant": functools.partial(
            _SWEEP_FIGURE,
            title="Recall by the size of the cache, constant learning rate",
            without=("rate_end",),
        ),
        "falling": functools.partial(
            _SWEEP_FIGURE,
            title="Recall by the size of the cache, learning rate falling to 0",
            at=_FALLING,
        ),
    },
    note="Each run is judged on the validation part at the epoch that was best there, "
    "so that all levels are somewhat too high.",
    prediction="As published, no size of the cache is better than none in recall@20, "
    "at either learning rate, even at its best epoch, and from M / B = 2 on it is "
    "worse. A learning rate that falls to 0 lowers the loss and does not end it. With "
    "the missing gradient, the cache is not worse than as many fresh columns. At "
    "M / B = 2, fresh columns with a stopped gradient lose half to five sixths of what "
    "the published cache loses.",
    predicted_on=("ml-100k",),
    stated=(
        *(
            Stated(
                f"recall@20, M / B = {size // 512}: what the cache loses as published "
                "is less where the learning rate falls to 0",
                (*_loss(_FIFO, size, False), *_loss(_FIFO, size, True, -1.0)),
                low=MORE,
                added=True,
            )
            for size in _SIZES
        ),
        Stated(
            "recall@20, M / B = 1: it still loses where the learning rate falls to 0",
            _loss(_FIFO, 512, True),
            low=MORE,
            added=True,
        ),
        *(
            Stated(
                "recall@20, M / B = 2: fresh columns with a stopped gradient lose half "
                f"to five sixths of what the published cache loses, {rate}",
                (Part(_lost(_STOPPED, 1024, fall), _lost(_FIFO, 1024, fall)),),
                *(1 / 2, 5 / 6),
                form=".3f",
                added=True,
            )
            for rate, fall in (("constant rate", False), ("falling rate", True))
        ),
    ),
)
