"""The losses of SL@K's paper in PyTorch, written from their formulas."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.bench.peers.irb.sampled import sampled


class Batch(NamedTuple):
    """What a loss may read besides the scores of its pairs.

    Attributes:
      users: [b].
      items: the positives, [b].
      negatives: items, [b, n].
      catalogue: the scores of the users for all items [b, i], when it is called.
    """

    users: Tensor
    items: Tensor
    negatives: Tensor
    catalogue: Callable[[], Tensor]


class Loss:
    """A loss of scores alone; others add state.

    Args:
      of: scores of the positives [b, 1], of the negatives [b, n], the batch -> the
        loss of each pair [b], or of each pair and negative [b, n].
    """

    optimiser: torch.optim.Optimizer | None = None  # of a loss's own parameters

    def __init__(self, of: Callable[[Tensor, Tensor, Batch], Tensor]) -> None:
        self._of = of

    def __call__(self, own: Tensor, other: Tensor, batch: Batch) -> Tensor:
        """The loss of each pair, or of each pair and negative."""
        return self._of(own, other, batch)

    def begin(self, epoch: int) -> bool:
        """Whether the loss's own parameters move in this epoch, and no others."""
        return False

    def observe(self, epoch: int, batch: Batch) -> None:
        """Called after each step."""


class AtK(Loss):
    """SL@K: the softmax loss of a pair, weighted by how far it is above rank K.

    The threshold of a user is set in every so many epochs, after each batch.

    Args:
      items: of each user, in the order in which that code reads them.
      temperature: of the softmax.
      hyper: width, every, cutoff.
    """

    def __init__(
        self, items: list[np.ndarray], temperature: float, hyper: dict[str, float]
    ) -> None:
        self._temperature, self._width = temperature, hyper["width"]
        self._every, self._rank = int(hyper["every"]), int(hyper["cutoff"])
        self._threshold = torch.zeros(len(items))
        # Of a user with many items that code reads no more than most users have.
        most = int(np.percentile([len(own) for own in items], 90))
        self._items = [torch.from_numpy(own[:most].astype(np.int64)) for own in items]

    def __call__(self, own: Tensor, other: Tensor, batch: Batch) -> Tensor:
        """The loss of each pair."""
        above = (own[:, 0] - self._threshold[batch.users]) / self._width
        softmax = ((other - own) / self._temperature).logsumexp(1)
        return torch.sigmoid(above) * softmax

    def observe(self, epoch: int, batch: Batch) -> None:
        """The K-th highest score among a user's items and the batch's negatives."""
        if epoch % self._every:
            return
        scores = batch.catalogue()
        seen = torch.full_like(scores, -torch.inf)
        seen.scatter_(1, batch.negatives, scores.gather(1, batch.negatives))
        for row, user in enumerate(batch.users.tolist()):
            own = self._items[user]
            seen[row, own] = scores[row, own]
        self._threshold[batch.users] = seen.topk(self._rank, dim=1).values[:, -1]


class Adversarial(Loss):
    """AdvInfoNCE: the negatives are weighted by other tables, which move upwards.

    Args:
      sizes: number of users and of items.
      dim: of the vectors.
      temperature: of the softmax.
      hyper: negative_weight, opponent_rate, every.
    """

    def __init__(
        self, sizes: list[int], dim: int, temperature: float, hyper: dict[str, float]
    ) -> None:
        self._temperature, self._weight = temperature, hyper["negative_weight"]
        self._every = int(hyper["every"])
        self._tables = [nn.Embedding(size, dim).weight for size in sizes]
        self.optimiser = torch.optim.Adam(
            self._tables, lr=hyper["opponent_rate"], maximize=True
        )

    def __call__(self, own: Tensor, other: Tensor, batch: Batch) -> Tensor:
        """The loss of each pair."""
        users, items = (F.normalize(table, dim=1) for table in self._tables)
        hardness = sampled(users[batch.users], items, batch.negatives).softmax(1)
        hard = (hardness * (other / self._temperature).exp()).sum(1)
        ratio = self._weight * other.shape[1] * hard
        return torch.log1p(ratio / (own[:, 0] / self._temperature).exp())

    def begin(self, epoch: int) -> bool:
        """In every so many epochs."""
        due = epoch % self._every == 0
        for table in self._tables:
            table.requires_grad_(due)
        return due


def _softmax(temperature: float) -> Loss:
    return Loss(lambda own, other, _: ((other - own) / temperature).logsumexp(1))


def _psl(temperature: float) -> Loss:
    """PSL with relu, of half the cosine."""
    return Loss(
        lambda own, other, _: ((1 + (other - own) / 2).log() / temperature).logsumexp(1)
    )


def _ranked(weight: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """BPR, weighted by the ranks of both items among the catalogue."""

    def loss(own: Tensor, other: Tensor, batch: Batch) -> Tensor:
        catalogue = batch.catalogue()
        # By the catalogue's own scores: no item is above itself by rounding.
        ranks = [
            1 + (catalogue > catalogue.gather(1, index)).sum(1, keepdim=True)
            for index in (batch.items[:, None], batch.negatives)
        ]
        return F.softplus(other - own) * weight(*ranks)

    return Loss(loss)


def _closeness(own: Tensor, other: Tensor) -> Tensor:
    # Of two equal scores the weight is infinite in that code, which then ends the run.
    return 1 / torch.log2(1 + (own - other).abs().clamp(min=1))


def _beyond(rank: float) -> Callable[[Tensor, Tensor], Tensor]:
    def weight(own: Tensor, other: Tensor) -> Tensor:
        lower = torch.maximum(own, other)
        factor = torch.where(lower > rank, 1 / (1 - 1 / lower), torch.ones(()))
        return _closeness(own, other) * factor

    return weight


def _discounts(own: Tensor, other: Tensor) -> Tensor:
    return (1 / torch.log2(1 + own) - 1 / torch.log2(1 + other)).abs()


def make_loss(request: dict[str, Any], items: list[np.ndarray]) -> Loss:
    """The loss of a replay.

    Args:
      request: loss, temperature and hyper, as in a config; sizes; dim.
      items: of each user, in the order in which that code reads them.
    """
    temperature, hyper = request["temperature"], request["hyper"]
    made: dict[str, Callable[[], Loss]] = {
        "decoupled-softmax": lambda: _softmax(temperature),
        "psl-relu": lambda: _psl(temperature),
        "sl-at-k": lambda: AtK(items, temperature, hyper),
        "adv-info-nce": lambda: Adversarial(
            request["sizes"], request["dim"], temperature, hyper
        ),
        "lambda-rank": lambda: _ranked(_discounts),
        "lambda-loss": lambda: _ranked(_closeness),
        "lambda-loss-at-k": lambda: _ranked(_beyond(hyper["cutoff"])),
    }
    return made[request["loss"]]()
