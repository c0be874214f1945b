"""What do negatives and log q change where query and candidate are of one kind?

Two items of one session, each through the item tower; the task is to find the items of
the same held-out session for an item, itself left out. Epochs and temperature were
chosen on validation for in-batch+logq.

    python -m experiments run positives            about 6 minutes on 2 cores, 5 seeds
    python -m experiments run positives --quick    about 1 minute

Expect on MovieLens 100K R@20 0.055 for in-batch, 0.092 to 0.097 for every other arm,
uncorrected mixed included.
"""

from experiments.grid import Contrast, Grid
from experiments.recipe import FIRST

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
    changes=FIRST | {"positives": "item-item", "epochs": 5, "temperature": 0.2},
)
