"""Which mitigation of sample selection bias helps, and by how much?

In-batch negatives are drawn in proportion to popularity. Uncorrected, a model learns
log p(y|u) - log q(y) and ignores popularity. Each arm changes one thing against
``in-batch``; ``full-softmax`` is the exact answer, from which differences are taken,
``popularity`` and ``ease`` are the rows that need no training.

    python -m experiments run ssb                  about 9 minutes on 2 cores, 3 seeds
    python -m experiments run ssb --seeds 8        about 25 minutes, the committed table
    python -m experiments run ssb --tune 8         about 50 minutes, with its choices
    python -m experiments run ssb --quick          about 1 minute

Expect on MovieLens 100K: R@20 about 0.15 for in-batch, 0.265 for in-batch+logq and for
full-softmax, 0.23 for ease. ``ssb-first`` has the same arms at the first recipe.
"""

from experiments.grid import Contrast, Grid, Prediction, Tuning
from experiments.recipe import FIRST
from research.contrast import BETTER, NOT_DIFFERENT, WORSE

_CORRECT = (
    *("in-batch+logq", "mixed+logq", "mixed-popularity+logq", "uniform-softmax"),
    "in-batch+prior",
)

# Those of the first recipe, too.
_CONTRASTS = (
    Contrast("in-batch+logq", "in-batch", expected=BETTER),
    Contrast("in-batch+logq", "in-batch", "recall_item"),
    *(
        Contrast(arm, "full-softmax", "recall", k)
        for arm in _CORRECT
        for k in (20, 100)
    ),
    Contrast("in-batch+prior", "in-batch+logq", expected=WORSE),
    Contrast("mixed", "in-batch", "recall_item"),
    Contrast("mixed", "full-softmax", "recall_item"),
    Contrast("in-batch+logq+mask", "in-batch+logq"),
    Contrast("in-batch+logq+same-item", "in-batch+logq"),
    Contrast("full-softmax+mask", "full-softmax"),
    Contrast("full-softmax+mask", "full-softmax", "ndcg", expected=NOT_DIFFERENT),
    Contrast("full-softmax", "ease", expected=BETTER),
    Contrast("full-softmax", "ease", "recall", 100),
    Contrast("full-softmax", "ease", "recall_item"),
    Contrast("uniform-softmax", "pointwise-sigmoid"),
    Contrast("full-softmax", "pointwise-sigmoid", expected=BETTER),
    Contrast("in-batch-sigmoid", "in-batch"),
    # A claim of the field, added after the runs: the factor grows with k.
    Contrast("in-batch+logq", "in-batch", "recall", 100, over=10),
)

SSB = Grid(
    name="ssb",
    question="Which mitigation of sample selection bias helps, and by how much?",
    topic="corrections",
    arms=(
        "popularity",
        "item-knn",
        "ease",
        "slim",
        "pointwise-sigmoid",
        "in-batch-sigmoid",
        "binary-nce",
        "in-batch",
        "in-batch+prior",
        "in-batch+logq",
        "in-batch+logq+same-item",
        "in-batch+logq+mask",
        "mixed",
        "mixed+logq",
        "mixed-popularity+logq",
        "uniform-softmax",
        "full-softmax",
        "full-softmax+mask",
        "in-batch+logq-id-only",
        "full-softmax-id-only",
    ),
    reference="full-softmax",
    seeds=3,
    minutes="7",
    tuning=Tuning(as_trained=("in-batch", "in-batch-sigmoid", "mixed")),
    contrasts=(
        *_CONTRASTS,
        Contrast("full-softmax", "ease", "ndcg", expected=BETTER),
        Contrast("in-batch+logq", "ease", "ndcg", expected=BETTER),
    ),
    prediction=Prediction(
        text="Written after in-batch, in-batch+logq (two seeds each) and ease had been "
        "seen on test at the second recipe, untuned, and all arms at the first one. In "
        "recall@20 in-batch+logq is better than in-batch, full-softmax than ease and "
        "pointwise-sigmoid, and in-batch+prior is worse than in-batch+logq. In NDCG@20 "
        "full-softmax and in-batch+logq are better than ease, and the mask does not "
        "change full-softmax significantly.",
        on=("ml-100k",),
    ),
)

# The same arms at the first recipe, for the pages that rest on its records.
SSB_FIRST = SSB.but(
    name="ssb-first",
    question="Which mitigation of sample selection bias helps, with the first recipe?",
    changes=FIRST,
    tuning=None,
    contrasts=tuple(one._replace(expected=None) for one in _CONTRASTS),
    prediction=Prediction(),
)
