"""How deep and how wide should the towers be?

Hidden layers of both towers, from none (a linear tower) to three, and of one tower
alone: the item tower adds the item's own row to its output, so that even without layers
it is no poorer than a table of vectors. Each arm has the temperature and learning rate
that validation chose for it.

    python -m experiments run depth                about 12 minutes on 2 cores, 5 seeds
    python -m experiments run depth --quick        about 2 minutes

Expect on MovieLens 100K: R@20 0.255, and no significant difference for any other depth
or width; without layers in both towers 0.240, significantly less after Holm, in the
user tower alone 0.243.
"""

from experiments.grid import AT_BEST, Grid, Prediction, Tuning
from research.contrast import NOT_DIFFERENT, NOT_SIGNIFICANTLY_BETTER, WORSE, Contrast

_OTHERS = (
    *("layers-none", "layers-none-of-user", "layers-none-of-item"),
    *("layers-64", "layers-256", "layers-512"),
    *("layers-128-128", "layers-256-128", "layers-128-128-128"),
)
_EXPECTED = {"layers-none": WORSE, "layers-none-of-user": NOT_SIGNIFICANTLY_BETTER}

DEPTH = Grid(
    name="depth",
    question="How deep and how wide should the towers be?",
    topic="towers",
    arms=(*_OTHERS[:4], "in-batch+logq", *_OTHERS[4:]),
    reference="in-batch+logq",
    minutes="12",
    tuning=Tuning(),
    contrasts=tuple(
        Contrast(name, "in-batch+logq", expected=_EXPECTED.get(name, NOT_DIFFERENT))
        for name in _OTHERS
    ),
    prediction=Prediction(
        text="Each tuned: without layers in both towers recall@20 is worse than with "
        "one of 128; without them in the user tower alone it is not "
        "significantly better; no other depth or width is significantly "
        "different.",
        on=("ml-100k",),
    ),
    changes=AT_BEST,
)
