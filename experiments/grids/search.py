"""How much does a search query help, by how informative it is?

``encoder-query`` takes the words of a search: they attend over the history and stand
beside what they find. MovieLens has no searches. They are simulated: four words of the
target's title and genres, each replaced with probability ``noise`` by a word of
any film. So the words see the target, which no other encoder does, and the recall is no
estimate of a search engine's. Only the trend over the noise can be read off. At 1 the
words say nothing: that cell is the control, and shows what useless words cost.

The split is ``last``: one target per user, one search.

    python -m experiments run search               about 10 minutes on 2 cores, 5 seeds
    python -m experiments run search --quick       about 1 minute

Expect on MovieLens 100K, ``last``: R@20 0.934 at noise 0, 0.616 at 0.5, 0.241 at 0.9,
0.201 at 1; 0.249 for the mean of the history, 0.150 without one. Words that
say nothing cost 0.048 [0.033, 0.064]; at 0.9 no difference is shown.
"""

import functools

from experiments.grid import ARMS_FIGURE, AT_BEST, Contrast, Grid

_TITLE = "Simulated words, which see the target: paired differences from in-batch+logq"

SEARCH = Grid(
    name="search",
    question="How much does a search query help, by how informative it is?",
    topic="towers",
    arms=("in-batch+logq", "encoder-none", "encoder-query"),
    reference="in-batch+logq",
    minutes="10",
    contrasts=(
        *(
            Contrast("encoder-query", "in-batch+logq", at={"simulated.noise": noise})
            for noise in (0.5, 0.9, 1.0)
        ),
        Contrast("in-batch+logq", "encoder-none"),
    ),
    arm_sweeps={"encoder-query": ({"simulated.noise": (0.0, 0.5, 0.9, 1.0)},)},
    changes={**AT_BEST, "split": "last"},
    note=(
        "The words of `encoder-query` are made from the target: its recall is no "
        "estimate of a search engine's, and compares with no other encoder's."
    ),
    figures={"arms": functools.partial(ARMS_FIGURE["arms"], title=_TITLE)},
)
