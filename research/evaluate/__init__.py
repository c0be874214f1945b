"""Exact ranking over the full catalogue, and the record that every table is made of.

    lists = top_k(user_vectors, item_vectors, bias, *seen_items_of(fold))
    record = evaluate(fold, lists)
    means = summary(record)

A model that isn't a dot product offers a ``Scorer`` and goes through ``rank_scores``
(all three in ``top_k``); ``evaluate`` is in ``record``, METRICS and ``summary`` are in
``metrics``, which needs no JAX.
"""
