"""What do negatives and log q change where query and candidate are of one kind?

``positives``: two items of one session, each through the item tower; the task is to
find the items of the same held-out session for an item, itself left out. Epochs and
temperature were chosen on validation for in-batch+logq.

``positives-users``: two halves of one user's history, each through the user tower; the
task is to find a user's held-out part among those of all users. All halves are
candidates equally often, so log q is a constant and can't matter: in-batch and
in-batch+logq should tie. Random halves, but for the arm that cuts by time.

    python -m experiments run positives            about 6 minutes on 2 cores, 5 seeds
    python -m experiments run positives --quick    about 1 minute
    python -m experiments run positives-users      about 1 minute on 2 cores, 5 seeds
    python -m experiments run positives-users --quick    about 1 minute

Expect on MovieLens 100K, positives: R@20 0.055 for in-batch, 0.092 to 0.097 for every
other arm, uncorrected mixed included. Expect in positives-users R@20 0.098 to 0.101 for
random halves, whichever the negatives, and 0.076 for halves by time; 20 of 942 users by
chance would be 0.021.
"""

from experiments.grid import Contrast, Grid

POSITIVES = Grid(
    name="positives",
    question="Item-to-item retrieval in sessions: what do negatives and log q change?",
    topic="towers",
    arms=(
        *("in-batch", "in-batch+logq", "mixed", "mixed+logq"),
        *("uniform-softmax", "full-softmax"),
    ),
    reference="full-softmax",
    minutes="6",
    contrasts=(
        *(
            Contrast(arm, "full-softmax")
            for arm in (
                *("in-batch", "in-batch+logq", "mixed", "mixed+logq"),
                "uniform-softmax",
            )
        ),
        Contrast("in-batch+logq", "in-batch"),  # added after the runs
    ),
    changes={"positives": "item-item", "epochs": 5, "temperature": 0.2},
)
