"""The corrections that are compared: which sources, which switches, which log q."""

import dataclasses
from typing import Any, NamedTuple

from research.config import Config
from research.negatives import make_sources
from research.negatives.source import Source
from research.types import choose

__all__ = ["FORMS", "Form", "form_config", "form_sources"]


class Form(NamedTuple):
    """One way to correct one way to draw.

    Attributes:
      sources: names of sources without their numbers; n is shared out evenly.
      changes: switches of the config.
      exact: whether the q is the one that the negatives were drawn by.
      about: the weight of a negative with score s in the softmax, in words.
      unigram: correct every column by the click share alone, whatever drew it.
    """

    sources: tuple[str, ...]
    changes: dict[str, Any]
    exact: bool
    about: str
    unigram: bool = False


_IMPORTANCE = {"logq": 1.0, "correct_positive": False, "expected_count": True}
_IN_BATCH = ("in-batch",)
_MIXED = ("in-batch", "uniform")

FORMS: dict[str, Form] = {
    "in-batch": Form(_IN_BATCH, {}, False, "exp s"),
    "in-batch+logq": Form(
        _IN_BATCH, {"logq": 1.0}, True, "exp(s - log q), the positive's too [yi2019]"
    ),
    "importance": Form(
        _IN_BATCH, _IMPORTANCE, True, "exp(s - log(n q)), the positive exp(s_p)"
    ),
    "leave-own-out": Form(
        _IN_BATCH,
        {**_IMPORTANCE, "leave_own_out": True},
        True,
        "exp(s - log(n q / (1 - q_p))), the positive exp(s_p) [khrylchenko2025]",
    ),
    "uniform-softmax": Form(("uniform",), {"logq": 1.0}, True, "exp(s - log(1 / I))"),
    "mixed+logq": Form(_MIXED, {"logq": 1.0}, True, "exp(s - log Q') [yang2020]"),
    "mixed-unigram-q": Form(
        _MIXED, {"logq": 1.0}, False, "exp(s - log q) on uniform draws too", True
    ),
    "positive-forgotten": Form(
        _IN_BATCH,
        {"logq": 1.0, "correct_positive": False},
        False,
        "exp(s - log q), the positive exp(s_p)",
    ),
}


def form_config(
    name: str, n: int, masked: bool = False, base: Config | None = None
) -> Config:
    """The config of a form with n draws a row, over a base (default: the reference).

    In-batch draws of a batch of B are B - 1, so the config's batch is that plus one.

    Raises:
      InputError: no form has that name.
      ValueError: n can't be shared out evenly.

    >>> form_config("mixed+logq", 64).negatives, form_config("mixed+logq", 64).batch
    (('in-batch', 'uniform:32'), 33)
    """
    form = choose(name, FORMS, "form of correction")
    each, left = divmod(n, len(form.sources))
    if left or n < 1:
        raise ValueError(f"{n} draws can't be shared out to {len(form.sources)}")
    specs = tuple(s if s == "in-batch" else f"{s}:{each}" for s in form.sources)
    return dataclasses.replace(
        base or Config(),
        negatives=specs,
        batch=each + 1,
        loss="sampled-softmax",
        mask_same_item=masked,
        **{"logq": 0.0, **form.changes},
    )


def form_sources(name: str, config: Config) -> tuple[Source, ...]:
    """The sources of a form; those of a form with unigram q say the click share."""
    sources = make_sources(config.negatives, config)
    if not choose(name, FORMS, "form of correction").unigram:
        return sources
    (said,) = (source.log_q for source in make_sources(("in-batch",), config))
    return tuple(source._replace(log_q=said) for source in sources)
