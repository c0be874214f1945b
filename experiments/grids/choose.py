"""Which of these should I train on my data? The arms of the command choose.

Towers by the reference recipe, with the sources and corrections that mostly differ, and
simple models beside them. The command leaves out what does not fit the data.
"""

from experiments.grid import Grid, Tuning

SIMPLE = ("popularity", "item-knn", "ease")

CHOOSE = Grid(
    name="choose",
    question="Which of these should I train on my data?",
    topic="corrections",
    arms=(
        *SIMPLE,
        "in-batch",
        "in-batch+prior",
        "in-batch+logq",
        "mixed+logq",
        "uniform-softmax",
        "full-softmax",
    ),
    reference="in-batch+logq",
    seeds=3,
    minutes="20",
    tuning=Tuning(as_trained=("in-batch",)),
)
