"""Which loss ranks best, each at the temperature and learning rate that suit it?

Listwise losses weigh a negative by how hard it is, pairwise ones compare it with the
positive, pointwise ones judge it alone. All have the same towers, batches and number of
steps, and each the temperature and learning rate that validation chose among 14 trials
(results/choices). For hinge and cosine-contrastive a temperature acts as a margin,
so theirs are tried up to 2.

    python -m experiments run losses               about 15 minutes on 2 cores, 5 seeds
    python -m experiments run losses --quick       about 2 minutes

Expect on MovieLens 100K: R@20 about 0.25 for full-softmax, in-batch+logq and the
uniform, decoupled and bilateral softmax, 0.22 with debiased or hard negatives; one
negative a row (bpr) clearly below.
"""

from experiments.grid import AT_BEST, CONTRASTS_FIGURE, Grid, Prediction, Tuning
from research.contrast import BETTER, NOT_DIFFERENT, Contrast

_AS_GOOD = ("full-softmax", "decoupled-softmax+logq", "bilateral-softmax+logq")
_ALSO_ELSEWHERE = ("bpr-mean", "gbce")  # compared in recall@100 and NDCG@20, too
_OTHERS = (
    *("uniform-softmax", "debiased+logq", "hard-negative+logq", "bpr", "hinge"),
    *("cosine-contrastive", "pointwise-sigmoid", "binary-nce", "siglip"),
    "align-uniform",
)

LOSSES = Grid(
    name="losses",
    question="Which loss ranks best, each tuned?",
    topic="negatives",
    arms=("in-batch+logq", *_AS_GOOD, *_ALSO_ELSEWHERE, *_OTHERS),
    reference="full-softmax",
    minutes="15",
    tuning=Tuning(),
    contrasts=(
        *(
            Contrast("in-batch+logq", loss, metric, k, expected=expected)
            for loss in _ALSO_ELSEWHERE
            for metric, k, expected in (
                ("recall", 20, BETTER),
                ("recall", 100, NOT_DIFFERENT),
                ("ndcg", 20, BETTER),
            )
        ),
        *(
            Contrast("in-batch+logq", loss, expected=NOT_DIFFERENT)
            for loss in (*_AS_GOOD, "uniform-softmax")
        ),
        *(
            Contrast("in-batch+logq", loss, expected=BETTER)
            for loss in _OTHERS
            if loss != "uniform-softmax"
        ),
    ),
    prediction=Prediction(
        text="Each tuned, in recall@20: in-batch+logq is not significantly different "
        "from full-softmax, uniform-softmax, the decoupled and the bilateral "
        "softmax, and better than every other loss. Over bpr-mean and gbce it is "
        "better in NDCG@20 too, and not significantly different in recall@100. "
        "No verdict is other than with the temperature tuned alone.",
        on=("ml-100k",),
        not_judged=(
            "that no verdict is other than with the temperature tuned alone "
            "(those runs are not among the records)",
        ),
    ),
    note="align-uniform has no temperature: it has the learning rate of in-batch+logq, "
    "and its weight of uniformity was not tuned.",
    changes=AT_BEST,
    figures=CONTRASTS_FIGURE,
)
