"""Each mutant of the way from scores to a loss is caught, and by which oracle."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from research import logits as definitions
from research import losses as registry
from research.logits import candidates
from tests.mutants.oracles import ORACLES

LOGITS, KEEP = candidates.logits, candidates.keep_columns
UNION, PARTS = candidates.union_log_q, candidates.log_q_parts
COLUMNS = candidates.columns_of
LOSS = registry.LOSSES["sampled-softmax"]

Patch = tuple[Any, str, Any]


def no_temperature(score, temperature, strength, log_q):  # type: ignore[no-untyped-def]
    return LOGITS(score, jnp.ones_like(temperature), strength, log_q)


def sign_flipped(score, temperature, strength, log_q):  # type: ignore[no-untyped-def]
    return LOGITS(score, temperature, -strength, log_q)


def all_over_temperature(score, temperature, strength, log_q):  # type: ignore[no-untyped-def]
    return (score - strength * log_q) / temperature


def divided_twice(score, temperature, strength, log_q):  # type: ignore[no-untyped-def]
    return LOGITS(score / temperature, temperature, strength, log_q)


def nothing_masked(*given):  # type: ignore[no-untyped-def]
    return jnp.ones_like(KEEP(*given))


def same_item_always_masked(source, drawn, mask_same_item):  # type: ignore[no-untyped-def]
    return COLUMNS(source, drawn, True)


def unigram_everywhere(ids, sources, states, pool, batch_size):  # type: ignore[no-untyped-def]
    return pool.log_share[ids]


def batch_counted_whole(ids, sources, states, pool, batch_size):  # type: ignore[no-untyped-def]
    return UNION(ids, sources, states, pool, batch_size + 1)


def positive_uncorrected(config, *log_q):  # type: ignore[no-untyped-def]
    return PARTS(dataclasses.replace(config, correct_positive=False), *log_q)


def positive_twice(positive, negatives, hyper):  # type: ignore[no-untyped-def]
    return jnp.logaddexp(positive, jnp.logaddexp(positive, negatives.logsumexp())) - (
        positive
    )


def positive_forgotten(positive, negatives, hyper):  # type: ignore[no-untyped-def]
    return negatives.logsumexp() - positive


def masked_by_a_constant(positive, negatives, hyper):  # type: ignore[no-untyped-def]
    z = jnp.where(negatives.keep, negatives.z, negatives.z - 3.0)
    return jnp.logaddexp(positive, jax.nn.logsumexp(z, axis=1)) - positive


def loss_of(fn: Callable[..., Any]) -> Patch:
    return registry.LOSSES, "sampled-softmax", LOSS._replace(fn=fn)


MUTANTS: dict[str, tuple[Patch, set[str]]] = {
    "temperature dropped": (
        (candidates, "logits", no_temperature),
        {"mixture by loops", "exact softmax", "zero at the truth"},
    ),
    "temperature divides twice": (
        (candidates, "logits", divided_twice),
        {"mixture by loops", "exact softmax", "zero at the truth"},
    ),
    "log q sign flipped": (
        (candidates, "logits", sign_flipped),
        {"mixture by loops", "zero at the truth", "zero at the truth in a mixture"},
    ),
    "(score - log q) / temperature": (
        (candidates, "logits", all_over_temperature),
        {"mixture by loops", "zero at the truth"},
    ),
    "masks removed": (
        (candidates, "keep_columns", nothing_masked),
        {"mixture by loops", "masked mixture by loops", "exact softmax"},
    ),
    "same item masked unasked": (
        (candidates, "columns_of", same_item_always_masked),
        {"mixture by loops", "zero at the truth"},
    ),
    "unigram q for the uniform half": (
        (candidates, "union_log_q", unigram_everywhere),
        {"mixture by loops", "zero at the truth in a mixture"},
    ),
    "B draws of a batch in place of B - 1": (
        (candidates, "union_log_q", batch_counted_whole),
        {"mixture by loops", "masked mixture by loops"},
    ),
    "positive not corrected": (
        (candidates, "log_q_parts", positive_uncorrected),
        {"mixture by loops", "zero at the truth"},
    ),
    "positive counted twice": (
        loss_of(positive_twice),
        {"mixture by loops", "exact softmax", "zero at the truth"},
    ),
    "positive column forgotten": (
        loss_of(positive_forgotten),
        {"mixture by loops", "exact softmax", "zero at the truth"},
    ),
    "mask by adding a constant": (
        loss_of(masked_by_a_constant),
        {"mixture by loops", "masked mixture by loops", "exact softmax"},
    ),
}


@pytest.mark.parametrize("oracle", ORACLES)
def test_the_code_as_it_is_passes(oracle):
    ORACLES[oracle]()


@pytest.mark.parametrize(
    ("mutant", "oracle"),
    [(m, o) for m, (_, caught_by) in MUTANTS.items() for o in sorted(caught_by)],
)
def test_a_mutant_is_caught(mutant, oracle, monkeypatch):
    (where, name, changed), _ = MUTANTS[mutant]
    if isinstance(where, dict):
        monkeypatch.setitem(where, name, changed)
    else:
        monkeypatch.setattr(where, name, changed)
    with pytest.raises(AssertionError):
        ORACLES[oracle]()


def test_what_is_patched_is_what_the_stages_define():
    for name in ("logits", "keep_columns", "log_q_parts"):
        assert getattr(candidates, name) is getattr(definitions, name)
