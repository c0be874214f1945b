"""What is each feature worth, added to the reference or taken from it?

The reference has the history, demographics, and the item's id, genres and year. One is
added: the user's id, its rate of positives per genre, the age of each click; title
words, mean rating and count, an item's positives in the week before. Or one is left
out. ``dynamic`` needs batches that go through time, and ``features+time-order`` is
those batches alone, for comparison. Each arm has the temperature and learning rate that
validation chose for it.

Profiles and rates need ratings below the threshold, demographics a data set that has
them: elsewhere choose arms with --arms.

    python -m experiments run features             about 15 minutes on 2 cores, 5 seeds
    python -m experiments run features --quick     about 3 minutes

Expect on MovieLens 100K: R@20 0.255. The user's id and the age of each click add 0.011
and 0.010, not significant after Holm; all features together are not significantly
better than none of them. Without the history 0.150, without the item's id 0.131; no
other feature has a measurable effect. Batches through time cost 0.014, which
``dynamic`` does not bring back.
"""

from experiments.grid import AT_BEST, Grid, Prediction, Tuning
from research.contrast import BETTER, NOT_DIFFERENT, WORSE, Contrast

_OTHERS = (
    *("features+user-id", "features+genre-profile", "features+history-age"),
    *("features+title", "features+profile"),
    *("features+time-order", "features+dynamic"),
    *("features-demographics", "features-history", "features-item-id"),
    *("features-genres", "features-year", "in-batch+logq-id-only"),
    "features-all",
)
_EXPECTED = {
    **dict.fromkeys(("features+user-id", "features+history-age"), BETTER),
    **dict.fromkeys(("features+time-order", "features+dynamic"), WORSE),
    **dict.fromkeys(("features-history", "features-item-id"), WORSE),
}

FEATURES = Grid(
    name="features",
    question="What is each feature worth, added or left out?",
    topic="towers",
    arms=("in-batch+logq", *_OTHERS),
    reference="in-batch+logq",
    minutes="15",
    tuning=Tuning(),
    contrasts=(
        *(
            Contrast(name, "in-batch+logq", expected=_EXPECTED.get(name, NOT_DIFFERENT))
            for name in _OTHERS
        ),
        Contrast("features+dynamic", "features+time-order", expected=NOT_DIFFERENT),
    ),
    prediction=Prediction(
        text="Each tuned: in recall@20 the user's id and the age of each click are "
        "better than the reference, as at one temperature and rate; batches in "
        "order of time, with and without fresh counts, are worse, and so are the "
        "towers without the history and without the item's id. No other feature, "
        "added or left out, is significantly different, and fresh counts are not "
        "from the order alone.",
        on=("ml-100k",),
    ),
    changes=AT_BEST,
)
