"""How fast does the streaming estimate of frequency follow a shift, and at what error?

The simulation of Yi et al. 2019: 1,000 items, batches of 128, the distribution turned
around at step 10,000; the rate of the moving average and the number of hashes, over
5,000 buckets in all, are swept. Nothing is trained.

    python -m experiments run frequency            about 3 minutes on 2 cores, 5 seeds
    python -m experiments run frequency --quick    about 10 seconds

Expect: a higher rate follows faster and settles at a higher error; more hashes settle
lower (at rate 0.01: 0.14 with one, 0.05 with four, at step 20,000).
"""

from experiments.grid import Grid
from research.config import Config


def curves(config: Config) -> dict[str, list[float]]:
    """One simulation: its step and error, as columns."""
    from experiments.studies.frequency import simulate

    return simulate(config.hashes, config.frequency_rate, config.seed)


FREQUENCY = Grid(
    name="frequency",
    question="How fast does the streaming estimate follow a shift, at what error?",
    arms=("in-batch+logq-streaming",),
    reference="in-batch+logq-streaming",
    seeds=5,
    minutes="3",
    swept={},
    apart={
        "in-batch+logq-streaming": (
            {"hashes": (1, 2, 4), "frequency_rate": (0.002, 0.01, 0.05)},
        )
    },
    runner=curves,
)
