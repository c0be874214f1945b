"""What does it cost if a data loader's workers repeat negatives?

A worker that draws from an unseeded generator starts each epoch from a copy of its
parent's state: all workers have the same negatives, in every epoch. An item that is not
among them is never pushed away, and the others are drawn as often as they happen to be
there: q is not uniform, and log q is not known. Each arm stands beside itself with 16
such workers (``loader_workers``): an epoch has the draws of a sixteenth of its steps.

    python -m experiments run loader              about 5 minutes on 2 cores, 3 seeds
    python -m experiments run loader --quick      about 1 minute

Expect on MovieLens 100K: more than half of recall@20 gone with one negative per row,
nothing significant with eight.
"""

from experiments.arms import REPEATED
from experiments.grid import Grid, Prediction
from experiments.recipe import FIRST
from research.contrast import NOT_WORSE, WORSE, Contrast

_FEW = ("bpr", "uniform-softmax-64", "uniform-softmax")

LOADER = Grid(
    name="loader",
    question="What does it cost if a data loader's workers repeat negatives?",
    topic="negatives",
    arms=(
        *("random", "popularity"),
        *(name for one in REPEATED for name in (one, f"{one}+workers")),
    ),
    reference="uniform-softmax",
    seeds=3,
    minutes="5",
    changes=FIRST | {"temperature": 0.2},
    contrasts=tuple(
        Contrast(f"{one}+workers", one, expected=WORSE if one in _FEW else NOT_WORSE)
        for one in REPEATED
    ),
    prediction=Prediction(
        text="An epoch of 96 steps has the draws of 6. Over 1,447 items these are 2 "
        "of an item for bpr (12 % of the items have none), 0.3 for "
        "uniform-softmax-64 (77 % have none), 4 for uniform-softmax (1 %), and "
        "17 for pointwise-sigmoid (none is without). Worse in recall@20 with "
        "workers that repeat, after Holm: bpr, uniform-softmax-64 and "
        "uniform-softmax. Not worse: pointwise-sigmoid, and mixed+logq, two "
        "thirds of whose columns repeat but which has the batch's too. A "
        "statement holds if the verdict of each of its contrasts is as said.",
        on=("ml-100k",),
        not_judged=("the numbers of draws (computed, not measured)",),
    ),
)
