"""What does a tower make of a search, by how much the search says?

``encoder-query`` takes the words of a search: they attend over the history and stand
beside what they find. MovieLens has no searches. They are simulated: four words of the
target's title and genres, each replaced with probability ``search_noise`` by a word of
any film. So the words see the target, which no other encoder does, and the recall is no
estimate of a search engine's. What can be read off is the course over the noise: at 1
the words say nothing, and the arm is to be no better than the history it attends to.

The split is ``last``: one target a user, one search.

    python -m experiments run search               about 15 minutes on 2 cores, 5 seeds
    python -m experiments run search --quick       about 2 minutes

No record is committed yet.
Expect on MovieLens 100K, ``last``: R@20 about 0.25 without a search.
"""

from experiments.grids.grid import Grid

SEARCH = Grid(
    name="search",
    question="What does a tower make of a search, by how much the search says?",
    arms=("in-batch+logq", "encoder-none", "encoder-query"),
    reference="in-batch+logq",
    seeds=5,
    minutes="15",
    swept={},
    apart={"encoder-query": ({"search_noise": (0.0, 0.5, 0.9, 1.0)},)},
    # The temperature of in-batch+logq in experiments/chosen.py.
    changes={"temperature": 0.2, "split": "last"},
)
