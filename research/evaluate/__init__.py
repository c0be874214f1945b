"""Exact ranking over the full catalogue, and the record that every table is made of.

    seen = seen_items_of(fold)
    lists = top_k(user_vectors, item_vectors, bias, *seen, scale=1 / temperature)
    record = evaluate(fold, lists)

A model that isn't a dot product offers a ``Scorer`` and goes through ``rank_scores``.
"""

from research.evaluate.record import DEFAULT_KS, bands, evaluate
from research.evaluate.top_k import (
    Scorer,
    dot_product,
    rank_scores,
    seen_items_of,
    top_k,
)

__all__ = [
    "DEFAULT_KS",
    "Scorer",
    "bands",
    "dot_product",
    "evaluate",
    "rank_scores",
    "seen_items_of",
    "top_k",
]
