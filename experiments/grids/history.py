"""Which encoder of the history retrieves best, without seeing the candidate?

The reference averages the last 50 clicks. ``encoder-none`` has demographics alone; the
others attend by a learned query, by the user's profile (SDM), by the last click (the
part of CDR that keeps the towers apart), or by all clicks to each other. On ``ratio``
each has the temperature and learning rate that validation chose for it. The last
click stands beside itself over a shuffled history: MovieLens gives the order in which a
session's films were rated, so part of what an order tells is how the site listed films.

The answer depends on the question: ``ratio`` asks for a tenth of the history at once,
``last`` for the next film only. 42 % of MovieLens 100K's positives share their second
with the one before, so on ``last`` the draw that breaks ties decides who is tested:
``history-ties`` runs it at five draws.

    python -m experiments run history              about 40 minutes on 2 cores, 5 seeds
    python -m experiments run history --split last   the same for the next film
    python -m experiments run history --quick      about 2 minutes
    python -m experiments run history-ties         about 8 minutes on 2 cores, 2 seeds
    python -m experiments run history-ties --quick   about 1 minute

Self-attention takes most of that time, so that it has the learned query's choice, and
the committed record is without it (--arms). One seed of it, on ``ratio``, at 0.2 and
0.001, recalled 0.208 in order and 0.169 shuffled.
Expect on MovieLens 100K, ``ratio``: R@20 0.255 for the mean, within 0.002 of it for the
learned, profile and last-click encoders, 0.227 for the last click over shuffled clicks
and 0.150 without a history. On ``last``, over five draws of ties: last click +0.005
[-0.010, +0.020], turning its sign with the draw; profile +0.020 [+0.007, +0.032];
shuffled -0.036 [-0.048, -0.024]. On MovieLens 1M ``last``, 2 seeds: 0.284 for the last
click, 0.180 for the mean, 0.171 shuffled.
"""

from typing import Any

from experiments.grid import AT_BEST, Elsewhere, Grid, Prediction, Tuning
from research.contrast import BETTER, NOT_DIFFERENT, WORSE, Contrast

# A step an example less often, as there are ten times as many.
_LARGE: dict[str, dict[str, Any]] = {"ml-1m": {"batch": 1024, "epochs": 8}}

HISTORY = Grid(
    name="history",
    question="Which encoder of the history retrieves best?",
    topic="towers",
    arms=(
        *("in-batch+logq", "encoder-none", "encoder-learned", "encoder-profile"),
        *("encoder-last-click", "encoder-last-click-shuffled"),
        "encoder-self-attention",
    ),
    reference="in-batch+logq",
    minutes="40",
    tuning=Tuning(),
    contrasts=(
        Contrast("encoder-none", "in-batch+logq", expected=WORSE),
        *(
            Contrast(f"encoder-{name}", "in-batch+logq", expected=NOT_DIFFERENT)
            for name in ("learned", "profile", "last-click")
        ),
        Contrast("encoder-last-click", "encoder-last-click-shuffled", expected=BETTER),
    ),
    prediction=Prediction(
        text="On MovieLens 100K, a tenth of each history held out and every encoder "
        "tuned: no history is worse than the mean of the clicks in recall@20; a "
        "learned query, the profile and the last click are not significantly "
        "different from it; the last click is better than itself over shuffled "
        "clicks.",
        on=("ml-100k",),
    ),
    changes=AT_BEST,
    elsewhere=Elsewhere(changes=_LARGE),
)
