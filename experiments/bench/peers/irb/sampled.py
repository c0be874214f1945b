"""Dot products of sampled pairs of vectors, as a differentiable function in PyTorch."""

from typing import Any

import numba
import torch
from torch import Tensor

from experiments.bench.peers.irb import loops

_score = numba.njit(loops.score, fastmath=True)
_to_queries = numba.njit(loops.spread_to_queries, fastmath=True)
_by_item = numba.njit(loops.by_item)
_to_items = numba.njit(loops.spread_to_items, fastmath=True)


class _Sampled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, items: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(query, items, index)
        scores = query.new_empty(index.shape)
        _score(*_arrays(query, items, index, scores))
        return scores

    @staticmethod
    def backward(ctx: Any, of_scores: Tensor) -> tuple[Tensor, Tensor, None]:
        query, items, index = ctx.saved_tensors
        of_scores = of_scores.contiguous()
        of_query, of_items = torch.zeros_like(query), torch.zeros_like(items)
        _to_queries(*_arrays(items, index, of_scores, of_query))
        ends = index.new_zeros(1 + len(items))
        rows = torch.empty(index.numel(), dtype=torch.int32)
        pairs = ends, rows, torch.empty_like(of_scores).flatten()
        _by_item(*_arrays(index, of_scores, *pairs))
        _to_items(*_arrays(query, *pairs, of_items))
        return of_query, of_items, None


def _arrays(*tensors: Tensor) -> list[Any]:
    return [tensor.detach().numpy() for tensor in tensors]


def sampled(query: Tensor, items: Tensor, index: Tensor) -> Tensor:
    """The scores query[b] . items[index[b, n]], [b, n].

    Args:
      query: [b, d].
      items: [i, d].
      index: of items, [b, n].
    """
    return _Sampled.apply(query, items, index)
