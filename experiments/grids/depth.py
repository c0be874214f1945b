"""How deep and how wide should the towers be?

Hidden layers of both towers, from none (a linear tower) to three, and of one tower
alone: the item tower adds the item's own row to its output, so that even without layers
it is no poorer than a table of vectors.

    python -m experiments run depth                about 12 minutes on 2 cores, 5 seeds
    python -m experiments run depth --quick        about 2 minutes

Expect on MovieLens 100K: R@20 0.254, and no significant difference for any other depth
or width; without layers in both towers 0.240, significantly less after Holm, in the
user tower alone 0.243.
"""

from experiments.chosen import CHOSEN
from experiments.grid import Contrast, Grid

_OTHERS = (
    *("layers-none", "layers-none-of-user", "layers-none-of-item"),
    *("layers-64", "layers-256", "layers-512"),
    *("layers-128-128", "layers-256-128", "layers-128-128-128"),
)

DEPTH = Grid(
    name="depth",
    question="How deep and how wide should the towers be?",
    arms=(*_OTHERS[:4], "in-batch+logq", *_OTHERS[4:]),
    reference="in-batch+logq",
    minutes="12",
    contrasts=tuple(Contrast(name, "in-batch+logq") for name in _OTHERS),
    changes={"temperature": CHOSEN["in-batch+logq"]},
)
