"""The registry of baselines: models to beat, ranked like the towers.

values = option_values("ease,l2=200")
scorer = BASELINES["ease"].fit(fold, values, seed=0)
lists = rank_scores(scorer, fold.fitted.n_items, *seen_items_of(fold))

Defaults are the options that were chosen on the validation part of MovieLens 100K.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from research.entries import Value, read
from research.registry import Registry, deferred
from research.types import Fold, InputError

__all__ = ["BASELINES", "Baseline", "Option", "Values", "option_values"]

Values = Mapping[str, float]


class Option(NamedTuple):
    """A number that a baseline is fitted with; a ``whole`` one is a count.

    large is the default on large data sets, where it differs: those of which a phase
    has 400,000 positives or more (``is_large`` in research/prepare.py).
    """

    default: float
    help: str
    least: float = 0.0
    above: bool = False  # the least value itself is refused
    whole: bool = False
    large: float | None = None


class Baseline(NamedTuple):
    """fit(fold, options, seed) -> a Scorer (research/evaluate) of fold.evaluated.

    A ``seeded`` baseline draws random numbers, and is run once per seed; a ``timed``
    one needs timestamps. ``squares`` counts the float64 matrices of items by items that
    it holds at once, at least.
    """

    fit: Callable[[Fold, Values, int], Any]
    options: dict[str, Option]
    seeded: bool = False
    timed: bool = False
    squares: int = 0

    @property
    def values(self) -> dict[str, Value]:
        """What may stand behind its name."""
        return {n: Value(float(option.default)) for n, option in self.options.items()}


def _baseline(
    fit: str,
    seeded: bool = False,
    timed: bool = False,
    squares: int = 0,
    **options: Option,
) -> Baseline:
    place = deferred(f"research.baselines.{fit}")
    return Baseline(place, options, seeded, timed, squares)


def _above(default: float, help: str, large: float | None = None) -> Option:
    return Option(default, help, above=True, large=large)


def _count(default: int, help: str, least: int = 1) -> Option:
    return Option(default, help, least, whole=True)


BASELINES: Registry[Baseline] = Registry(
    "baseline",
    {
        "random": _baseline("items:uniform", seeded=True),
        "popularity": _baseline("items:popularity"),
        "recent-popularity": _baseline(
            "items:recent_popularity",
            timed=True,
            days=_above(180.0, "length of the window"),
        ),
        "item-knn": _baseline(
            "items:item_knn",
            shrink=Option(0.0, "added to the norms"),
            neighbours=_count(20, "neighbours of an item"),
        ),
        "ease": _baseline(
            "items:ease", squares=1, l2=_above(100.0, "ridge penalty", large=300.0)
        ),
        "slim": _baseline(
            "items:slim",
            l1=_above(2.0, "strength of the L1 penalty"),
            l2=Option(30.0, "strength of the L2 penalty"),
        ),
        "ials": _baseline(
            "factors:ials",
            seeded=True,
            factors=_count(256, "length of a vector"),
            iterations=_count(15, "rounds over users and items"),
            regularization=Option(15.0, "L2 penalty of a vector"),
            alpha=_above(3.0, "weight of a clicked cell"),
        ),
        "bpr-mf": _baseline(
            "factors:bpr_mf",
            seeded=True,
            factors=_count(32, "length of a vector"),
            iterations=_count(400, "passes over the clicks"),
            learning_rate=_above(0.01, "size of a step"),
            regularization=Option(0.03, "L2 penalty of what a step moves"),
            prior=Option(1.0, "strength of log q when ranking"),
        ),
        "item2vec": _baseline(
            "descent:item2vec",
            seeded=True,
            dim=_count(64, "length of a vector"),
            epochs=_count(40, "passes over the clicks"),
            window=_count(10, "places to a partner; 0: whole history", least=0),
            partners=_count(4, "partners of a click in each pass"),
            negatives=_count(5, "draws against a partner"),
            power=Option(1.0, "power of the clicks in p_n, which is drawn from"),
            learning_rate=_above(0.003, "size of a step"),
            history=_count(0, "last items averaged for a user; 0: all", least=0),
            prior=Option(0.5, "strength of log p_n when ranking"),
        ),
        "fm": _baseline(
            "descent:factorisation_machine",
            seeded=True,
            dim=_count(64, "length of a vector"),
            epochs=_count(20, "passes over the clicks"),
            negatives=_count(4, "draws against a click"),
            learning_rate=_above(0.003, "size of a step"),
            l2=Option(0.003, "penalty on what a batch uses"),
        ),
    },
)


def option_values(model: str, large: bool = False) -> dict[str, float]:
    """The options of a baseline: its defaults, and those behind its name.

    Raises:
      InputError: an unknown baseline or option; a value that is no finite number, or is
        below what the option allows.
    """
    name, entry, values, _ = read(model, BASELINES)
    options = entry.options
    given = [word.partition("=")[0] for word in model.split(",")[1:]]
    if large:
        larger = {n: o.large for n, o in options.items() if o.large is not None}
        values = {**values, **{n: v for n, v in larger.items() if n not in given}}
    values = {n: float(value) for n, value in values.items()}
    for n, value in values.items():
        option, what = options[n], f"{name}'s {n} is {value:g}: it"
        if value < option.least or (option.above and value == option.least):
            bound = "above" if option.above else "at least"
            raise InputError(f"{what} must be {bound} {option.least:g}")
        if option.whole and value != int(value):
            raise InputError(f"{what} must be a whole number")
    return values
