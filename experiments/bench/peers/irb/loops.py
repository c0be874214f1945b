"""Dot products of sampled pairs of vectors, and their gradients.

Plain loops, to be compiled: a table of items fits a processor's cache, a copy of the
rows that a batch names does not. Gradients of a large catalogue are added up one item
at a time, as those of a batch's pairs lie all over it.
"""

from numpy import ndarray


def score(query: ndarray, items: ndarray, index: ndarray, scores: ndarray) -> None:
    """Sets scores[b, n] to query[b] . items[index[b, n]].

    Args:
      query: [b, d].
      items: [i, d].
      index: of items, [b, n].
      scores: [b, n], written.
    """
    for row in range(index.shape[0]):
        for column in range(index.shape[1]):
            item = index[row, column]
            total = query[row, 0] * items[item, 0]
            for k in range(1, query.shape[1]):
                total += query[row, k] * items[item, k]
            scores[row, column] = total


def spread_to_queries(
    items: ndarray, index: ndarray, of_scores: ndarray, of_query: ndarray
) -> None:
    """Adds the gradients of the scores to those of the queries.

    Args:
      items: [i, d].
      index: of items, [b, n].
      of_scores: gradient of the scores, [b, n].
      of_query: gradient of the queries, [b, d], added to.
    """
    for row in range(index.shape[0]):
        for column in range(index.shape[1]):
            item, slope = index[row, column], of_scores[row, column]
            for k in range(items.shape[1]):
                of_query[row, k] += slope * items[item, k]


def by_item(
    index: ndarray,
    of_scores: ndarray,
    ends: ndarray,
    rows: ndarray,
    slopes: ndarray,
) -> None:
    """Sorts the pairs by item, those of an item by query.

    Args:
      index: of items, [b, n].
      of_scores: gradient of the scores, [b, n].
      ends: all 0, [1 + i]; afterwards ends[item] is where the pairs of the item end,
        which is where those of the next begin; the last number says nothing.
      rows: the pairs' places in a batch, [b * n], written.
      slopes: their gradients, [b * n], written.
    """
    for row in range(index.shape[0]):
        for column in range(index.shape[1]):
            ends[1 + index[row, column]] += 1
    for item in range(len(ends) - 1):
        ends[1 + item] += ends[item]
    for row in range(index.shape[0]):
        for column in range(index.shape[1]):
            item = index[row, column]
            rows[ends[item]] = row
            slopes[ends[item]] = of_scores[row, column]
            ends[item] += 1


def spread_to_items(
    query: ndarray, ends: ndarray, rows: ndarray, slopes: ndarray, of_items: ndarray
) -> None:
    """Adds the gradients of the scores to those of the items, one item at a time.

    Args:
      query: [b, d].
      ends: of the items' pairs, as by_item leaves them, [1 + i].
      rows: of the pairs sorted by item, [b * n].
      slopes: their gradients, [b * n].
      of_items: gradient of the items, [i, d], added to.
    """
    first = 0
    for item in range(of_items.shape[0]):
        for pair in range(first, ends[item]):
            row, slope = rows[pair], slopes[pair]
            for k in range(query.shape[1]):
                of_items[item, k] += slope * query[row, k]
        first = ends[item]
