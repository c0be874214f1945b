"""The registry of baselines: models to beat, ranked like the towers.

values = option_values("ease", ("l2=200",))
scorer = BASELINES["ease"].fit(fold, values, seed=0)
lists = rank_scores(scorer, fold.fitted.n_items, *seen_items_of(fold))

Defaults are the options that the choice on the validation part of MovieLens 100K left.
"""

from research.baselines.entry import Baseline, Option, values_of
from research.registry import Registry, deferred

__all__ = ["BASELINES", "Baseline", "Option", "option_values"]

BASELINES: Registry[Baseline] = Registry(
    "baseline",
    {
        "popularity": Baseline(deferred("research.baselines.items:popularity"), {}),
        "recent-popularity": Baseline(
            deferred("research.baselines.items:recent_popularity"),
            {"days": Option(180.0, "length of the window", above=True)},
        ),
        "item-knn": Baseline(
            deferred("research.baselines.items:item_knn"),
            {
                "shrink": Option(0.0, "added to the norms"),
                "neighbours": Option(20, "neighbours of an item", least=1, whole=True),
            },
        ),
        "ease": Baseline(
            deferred("research.baselines.linear:ease"),
            {"l2": Option(100.0, "ridge penalty", above=True, large=300.0)},
        ),
        "slim": Baseline(
            deferred("research.baselines.linear:slim"),
            {
                "l1": Option(2.0, "strength of the L1 penalty", above=True),
                "l2": Option(30.0, "strength of the L2 penalty"),
            },
        ),
        "ials": Baseline(
            deferred("research.baselines.factors:ials"),
            {
                "factors": Option(256, "length of a vector", least=1, whole=True),
                "iterations": Option(
                    15, "rounds over users and items", least=1, whole=True
                ),
                "regularization": Option(15.0, "L2 penalty of a vector"),
                "alpha": Option(3.0, "weight of a clicked cell", above=True),
            },
            seeded=True,
        ),
        "bpr-mf": Baseline(
            deferred("research.baselines.factors:bpr_mf"),
            {
                "factors": Option(32, "length of a vector", least=1, whole=True),
                "iterations": Option(
                    400, "passes over the clicks", least=1, whole=True
                ),
                "learning_rate": Option(0.01, "size of a step", above=True),
                "regularization": Option(0.03, "L2 penalty of what a step moves"),
                "prior": Option(1.0, "of log q when ranking"),
            },
            seeded=True,
        ),
        "item2vec": Baseline(
            deferred("research.baselines.item2vec:item2vec"),
            {
                "dim": Option(64, "length of a vector", least=1, whole=True),
                "epochs": Option(40, "passes over the clicks", least=1, whole=True),
                "window": Option(
                    10, "places to a partner; 0: whole history", whole=True
                ),
                "partners": Option(4, "of a click, in each pass", least=1, whole=True),
                "negatives": Option(5, "draws against a partner", least=1, whole=True),
                "power": Option(1.0, "of the clicks that draws are made by"),
                "learning_rate": Option(0.003, "size of a step", above=True),
                "history": Option(0, "last items that make a user; 0: all", whole=True),
                "prior": Option(0.5, "of log p_n when ranking"),
            },
            seeded=True,
        ),
        "fm": Baseline(
            deferred("research.baselines.fm:factorisation_machine"),
            {
                "dim": Option(64, "length of a vector", least=1, whole=True),
                "epochs": Option(20, "passes over the clicks", least=1, whole=True),
                "negatives": Option(4, "draws against a click", least=1, whole=True),
                "learning_rate": Option(0.003, "size of a step", above=True),
                "l2": Option(0.003, "penalty on what a batch uses"),
            },
            seeded=True,
        ),
    },
)


def option_values(
    name: str, words: tuple[str, ...], large: bool = False
) -> dict[str, float]:
    """The options of a baseline: its defaults, with what is given as NAME=VALUE.

    Args:
      name: of the baseline.
      words: such as "l2=200".
      large: whether the data set has a million ratings or more, for which some options
        have another default.

    Raises:
      InputError: an unknown baseline or option; a value that is no finite number, or is
        below what the option allows.
    """
    return values_of(name, BASELINES.choose(name), words, large)
