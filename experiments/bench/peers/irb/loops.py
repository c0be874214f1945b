"""Dot products of sampled pairs of vectors, and their gradients.

Plain loops, to be compiled: a table of items fits a processor's cache, a copy of the
rows that a batch names does not.
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


def spread(
    query: ndarray,
    items: ndarray,
    index: ndarray,
    of_scores: ndarray,
    of_query: ndarray,
    of_items: ndarray,
) -> None:
    """Adds the gradients of the scores to those of the vectors.

    Args:
      query: [b, d].
      items: [i, d].
      index: of items, [b, n].
      of_scores: gradient of the scores, [b, n].
      of_query: gradient of query, [b, d], added to.
      of_items: gradient of items, [i, d], added to.
    """
    for row in range(index.shape[0]):
        for column in range(index.shape[1]):
            item, slope = index[row, column], of_scores[row, column]
            for k in range(query.shape[1]):
                of_query[row, k] += slope * items[item, k]
                of_items[item, k] += slope * query[row, k]
