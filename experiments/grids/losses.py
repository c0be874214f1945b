"""Which loss ranks best, each at the temperature that suits it?

Listwise losses weigh a negative by how hard it is, pairwise ones compare it with the
positive, pointwise ones judge it alone. All have the same towers, batches and number of
steps; ``losses-choice`` gives each the same nine temperatures on train and validation,
and ``losses`` reports each at its own best (experiments/chosen.py). For hinge and
cosine-contrastive a temperature is a margin in disguise.

    python -m experiments run losses-choice        about 20 minutes on 2 cores, 1 seed
    python -m experiments run losses-choice --quick  about 2 minutes
    python -m experiments.chosen out               prints the temperatures that it chose
    python -m experiments run losses               about 15 minutes on 2 cores, 5 seeds
    python -m experiments run losses --quick       about 2 minutes

Expect on MovieLens 100K: R@20 about 0.24 for full-softmax, and every corrected softmax
within 0.01 of it; one negative a row (bpr) clearly below.

What is expected once the learning rate is chosen too, with 14 trials for each loss in
the grid tuning, committed before they run: in recall@20 in-batch+logq is not
significantly different from full-softmax, uniform-softmax, the decoupled and the
bilateral softmax, and better than every other loss. Over bpr-mean and gbce it is better
in NDCG@20 too, and not significantly different in recall@100. No verdict is other than
with the temperature tuned alone.
"""

from experiments.chosen import CHOSEN
from experiments.grid import CONTRASTS_FIGURE, Contrast, Grid

_QUESTION = "Which loss ranks best, each at the temperature that suits it?"

_SOFTMAXES = ("full-softmax", "decoupled-softmax+logq", "uniform-softmax")
_ONE_EACH = ("bilateral-softmax+logq", "bpr", "pointwise-sigmoid")


def _against(arm: str, other: str, metric: str, k: int) -> Contrast:
    """Two losses, each at its own temperature."""
    at, against_at = ({"temperature": CHOSEN[name]} for name in (arm, other))
    return Contrast(arm, other, metric, k, at, against_at)


LOSSES = Grid(
    name="losses",
    question=_QUESTION,
    arms=(*CHOSEN, "align-uniform"),
    reference="full-softmax",
    minutes="15",
    contrasts=(
        *(
            _against("in-batch+logq", loss, metric, k)
            for loss in ("bpr-mean", "gbce")
            for metric, k in (("recall", 20), ("recall", 100), ("ndcg", 20))
        ),
        *(
            _against("in-batch+logq", loss, "recall", 20)
            for loss in (*_SOFTMAXES, *_ONE_EACH, "binary-nce", "siglip")
        ),
        Contrast(
            *("in-batch+logq", "align-uniform", "recall", 20),
            *({"temperature": CHOSEN["in-batch+logq"]}, {}),
        ),
    ),
    arm_sweeps={name: ({"temperature": (value,)},) for name, value in CHOSEN.items()},
    figures={},
    contrast_figures=CONTRASTS_FIGURE,
)

LOSSES_CHOICE = Grid(
    name="losses-choice",
    question="At which temperature is each loss best on validation?",
    arms=tuple(CHOSEN),
    reference="full-softmax",
    seeds=1,
    minutes="20",
    contrasts=tuple(
        Contrast(
            *(name, name, "ndcg", 20),
            *({"temperature": value}, {"temperature": 0.1}),
        )
        for name, value in CHOSEN.items()
        if value != 0.1
    ),
    swept={"temperature": (0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)},
    changes={"fit_on": "train"},
    figures={},
    contrast_figures=CONTRASTS_FIGURE,
    brief=True,
)
