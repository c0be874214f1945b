"""Does the order of corrections hold when the future is predicted from the past?

The split ``ratio`` cuts each user's history by itself, so that item vectors are
trained on other users' future. ``time`` cuts all users at one moment: what is fitted
lies before what is judged. All arms are at the temperature 0.2 that suits most of them
on ``ratio``.

    python -m experiments run future               about 5 minutes on 2 cores, 5 seeds
    python -m experiments run future --quick       about 1 minute

MovieLens 1M takes longer: --dataset ml-1m --seeds 3 --data-dir DIR.
Expect on MovieLens 100K: about half of the recall of the split ratio.
"""

from experiments.grid import Grid
from research.contrast import Contrast

__all__ = ["FUTURE"]

FUTURE = Grid(
    name="future",
    question="Does the order of corrections hold on a split in time?",
    arms=(
        *("random", "popularity", "ease", "in-batch", "in-batch+logq"),
        *("in-batch+logq-streaming", "in-batch+logq-periodic", "mixed+logq"),
        *("full-softmax", "full-softmax+mask"),
    ),
    reference="full-softmax",
    minutes="5",
    changes={"split": "time", "temperature": 0.2},
    dataset_changes={"ml-1m": {"batch": 1024, "epochs": 10}},
    contrasts=(
        Contrast("in-batch", "in-batch+logq"),
        Contrast("in-batch+logq", "full-softmax"),
        Contrast("in-batch+logq-streaming", "in-batch+logq"),
        Contrast("in-batch+logq-periodic", "in-batch+logq"),
        Contrast("mixed+logq", "full-softmax"),
        Contrast("full-softmax+mask", "full-softmax"),
        *(Contrast("full-softmax", "ease", k=k) for k in (20, 100)),
        Contrast("full-softmax", "popularity"),
    ),
    prediction="The order of corrections does not change: in-batch is worse than "
    "in-batch+logq in recall@20, after Holm, and neither in-batch+logq nor mixed+logq "
    "is better than the full softmax. Streaming counts are not significantly different "
    "from exact ones. Recall@20 of the full softmax is at most 0.6 of that on the "
    "split ratio (grid fair). The full softmax is better than EASE at 100. "
    "Periodic counts, which came later, are not significantly different from exact "
    "ones.",
)
