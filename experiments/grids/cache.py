"""What do cached vectors add: draws, a flatter distribution, or nothing?

A FIFO of past positives draws from the click share, as the batch does: more draws, no
other items. A cache of one vector an item, drawn uniformly, adds rare items with stale
vectors: beside it stand as many fresh uniform draws (``mixed``), beside the FIFO as
many fresh draws from the click share (``mixed-popularity``). ``warmup`` is in steps of
about 96 an epoch. ``stored`` is the published form, where each vector carries the q of
when it was stored: it can differ only while q is being estimated.

    python -m experiments run cache                about 10 minutes on 2 cores, 5 seeds
    python -m experiments run cache --quick        about 1 minute

No record is committed yet. Expect a collapse on MovieLens 100K without warm-up: in
first runs, 1,024 cached columns beside 511 of the batch took R@20 to 0.05, with one
list for all users. Cached vectors take no gradient: an item is pulled by its positives
in full, and pushed away by the batch's share of the negatives only.
"""

from experiments.grids.grid import Grid

CACHE = Grid(
    name="cache",
    question="What do cached vectors add: draws, a flatter distribution, or nothing?",
    arms=(
        "in-batch+logq",
        "fifo-cache+logq",
        "vector-cache+logq",
        "mixed+logq",
        "mixed-popularity+logq",
        "fifo-cache+logq-streaming",
        "fifo-cache-stored+logq",
    ),
    reference="in-batch+logq",
    seeds=5,
    minutes="10",
    swept={},
    apart={
        "in-batch+logq": ({},),
        "fifo-cache+logq": (
            {"draws": (1024, 4096, 8192)},
            {"draws": (4096,), "warmup": (500, 1000)},
        ),
        "vector-cache+logq": (
            {"draws": (256, 1024)},
            {"draws": (1024,), "warmup": (500,)},
        ),
        "mixed+logq": ({"draws": (256, 1024)},),
        "mixed-popularity+logq": ({"draws": (1024, 4096)},),
        "fifo-cache+logq-streaming": ({"draws": (4096,)},),
        "fifo-cache-stored+logq": ({"draws": (4096,)},),
    },
)
