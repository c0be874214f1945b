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
full-softmax, 0.23 for ease. ``questions`` has the arms of the twelve questions, asked
of all data sets.
"""

from typing import NamedTuple

from experiments.grid import Contrast, Elsewhere, Grid, Prediction, Tuning
from experiments.recipe import RESIDUAL
from research.contrast import BETTER, EQUIVALENT, NOT_DIFFERENT, WORSE, Expected

_CORRECT = (
    *("in-batch+logq", "mixed+logq", "mixed-popularity+logq", "uniform-softmax"),
    "in-batch+prior",
)

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
    elsewhere=Elsewhere(changes=RESIDUAL),
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


class Question(NamedTuple):
    """A question, answered by a difference in NDCG@20 on every data set.

    Attributes:
      number: of the twelve; some have several contrasts.
      text: as the page asks it.
      arms: the arm; of several the one that validation says is best.
      against: what is subtracted, likewise.
      expected: committed before the first run of the grid.
      seen: of which data sets a run of both arms had been seen, tuned, at this recipe.
      split: the only split that it is asked on; "" for all.
    """

    number: int
    text: str
    arms: tuple[str, ...]
    against: tuple[str, ...]
    expected: Expected
    seen: str = ""
    split: str = ""


_ALL, _512, _BATCH = ("full-softmax",), ("uniform-softmax-512",), ("in-batch+logq",)
_SIMPLE = ("item-knn", "ease", "slim", "ials")
_100K = "MovieLens 100K"
_EARLIER = "Electronics, with layers residual"

# The primary contrasts: one family over all data sets (experiments/pages/questions.py).
TWELVE = (
    Question(1, "Leave the correction out?", ("in-batch",), _ALL, WORSE, _100K),
    Question(2, "In-batch with log q for all items?", _BATCH, _ALL, EQUIVALENT, _100K),
    Question(
        3,
        "A prior when serving for log q in the loss?",
        ("in-batch+prior",),
        _BATCH,
        EQUIVALENT,
        f"{_100K}; {_EARLIER}",
    ),
    Question(
        4,
        "Uniform negatives beside the batch?",
        ("mixed+logq",),
        _BATCH,
        EQUIVALENT,
        f"{_100K}; {_EARLIER}",
    ),
    Question(
        5,
        "A sample of 1,024 for all items?",
        ("uniform-softmax",),
        _ALL,
        EQUIVALENT,
        _100K,
    ),
    Question(
        6,
        "Mask the user's other positives?",
        ("full-softmax+mask",),
        _ALL,
        EQUIVALENT,
        _100K,
    ),
    Question(
        7,
        "A cache of 512 past vectors?",
        ("fifo-cache-512+logq",),
        _BATCH,
        WORSE,
        _EARLIER,
    ),
    Question(
        7,
        "A cache of 4,096 past vectors?",
        ("fifo-cache+logq",),
        _BATCH,
        WORSE,
    ),
    Question(
        7,
        "Of 512, with its missing gradient?",
        ("fifo-cache-512+logq+push",),
        _BATCH,
        EQUIVALENT,
    ),
    Question(
        7,
        "Of 4,096, with its missing gradient?",
        ("fifo-cache+logq+push",),
        _BATCH,
        EQUIVALENT,
    ),
    Question(8, "BPR for a softmax, 512 negatives?", ("bpr-512",), _512, WORSE),
    Question(
        9,
        "A sigmoid for a softmax, 512 negatives?",
        ("sigmoid-512",),
        _512,
        WORSE,
    ),
    Question(
        9,
        "gBCE for a softmax, 512 negatives?",
        ("gbce-512",),
        _512,
        EQUIVALENT,
    ),
    Question(
        10,
        "Towers for the best simple model?",
        (*_BATCH, *_ALL),
        _SIMPLE,
        BETTER,
        f"{_100K}; {_EARLIER}, one tower arm",
    ),
    Question(
        11,
        "Towers for a popular list, on the future?",
        _BATCH,
        ("popularity",),
        BETTER,
        "",
        "time",
    ),
    Question(
        12,
        "Negatives that workers repeat?",
        ("uniform-softmax+workers",),
        ("uniform-softmax",),
        WORSE,
    ),
)

QUESTIONS = Grid(
    name="questions",
    question="Twelve questions: which loss, negatives and correction?",
    topic="corrections",
    arms=tuple(
        dict.fromkeys(
            arm
            for names in (
                ("random", "popularity", *_SIMPLE),
                *(names for one in TWELVE for names in (one.against, one.arms)),
            )
            for arm in names
        )
    ),
    reference="full-softmax",
    seeds=5,
    minutes="25",
    elsewhere=Elsewhere(changes=RESIDUAL),
    tuning=Tuning(as_trained=("in-batch",)),
    note="Compared over all data sets in [questions.md](../../questions.md).",
)
