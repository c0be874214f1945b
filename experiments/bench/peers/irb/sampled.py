"""Dot products of sampled pairs of vectors, as a differentiable function in PyTorch."""

from typing import Any

import numba
import torch
from torch import Tensor

from experiments.bench.peers.irb import loops

_score = numba.njit(loops.score, fastmath=True)
_spread = numba.njit(loops.spread, fastmath=True)


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
        gradients = torch.zeros_like(query), torch.zeros_like(items)
        _spread(*_arrays(query, items, index, of_scores.contiguous(), *gradients))
        return *gradients, None


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
