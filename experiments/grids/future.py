"""Does the order of corrections hold when the future is predicted from the past?

The split ``ratio`` cuts each user's history by itself, so that item vectors are
trained on other users' future. ``time`` cuts all users at one moment: what is fitted
lies before what is judged. All arms are at the temperature 0.2 that suits most of them
on ``ratio``. Tuned on this split they are in ``questions --split time``.

    python -m experiments run future               about 5 minutes on 2 cores, 5 seeds
    python -m experiments run future --quick       about 1 minute

MovieLens 1M takes longer: --dataset ml-1m --seeds 3 --data-dir DIR.
Expect on MovieLens 100K: about 0.7 of the recall of the split ratio.
"""

from experiments.grid import SHORTER, Elsewhere, Grid, Prediction
from experiments.recipe import FIRST
from research.contrast import BETTER, NOT_BETTER, NOT_DIFFERENT, WORSE, Contrast

FUTURE = Grid(
    name="future",
    question="Does the order of corrections hold on a split in time?",
    topic="corrections",
    arms=(
        *("random", "popularity", "ease", "in-batch", "in-batch+logq"),
        *("in-batch+logq-streaming", "in-batch+logq-periodic", "mixed+logq"),
        *("full-softmax", "full-softmax+mask"),
    ),
    reference="full-softmax",
    minutes="5",
    changes=FIRST | {"split": "time", "temperature": 0.2},
    elsewhere=Elsewhere(changes=SHORTER),
    contrasts=(
        Contrast("in-batch", "in-batch+logq", expected=WORSE),
        Contrast("in-batch+logq", "full-softmax", expected=NOT_BETTER),
        *(
            Contrast(f"in-batch+logq-{share}", "in-batch+logq", expected=NOT_DIFFERENT)
            for share in ("streaming", "periodic")
        ),
        Contrast("mixed+logq", "full-softmax", expected=NOT_BETTER),
        Contrast("full-softmax+mask", "full-softmax"),
        Contrast("full-softmax", "ease"),
        Contrast("full-softmax", "ease", k=100, expected=BETTER),
        Contrast("full-softmax", "popularity"),
    ),
    prediction=Prediction(
        text="The order of corrections does not change: in-batch is worse than "
        "in-batch+logq in recall@20, after Holm, and neither in-batch+logq nor "
        "mixed+logq is better than the full softmax. Streaming counts are not "
        "significantly different from exact ones. Recall@20 of the full softmax "
        "is at most 0.6 of that on the split ratio (grid fair). The full softmax "
        "is better than EASE at 100. Periodic counts, which came later, are not "
        "significantly different from exact ones.",
        on=("ml-100k", "ml-1m"),
        not_judged=(
            "that recall@20 of the full softmax is at most 0.6 of that on the split "
            "ratio (those records were retired)",
        ),
    ),
)
