"""Training as the code of SL@K's paper does it, from the same random numbers.

That code [yang2025slatk] fixes one seed. Its initial tables and the order of its pairs
are PyTorch's; workers of its data loader, each with a seed of Python's, draw negatives
by rand() of C, each pair's own ones, distinct and outside the user's training items.
All of these are made here as there, so that a run of a table can be replayed, but for
how its processor rounds. What is computed was written from the formulas.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.bench.peers.c_random import distinct_outside
from experiments.bench.protocol import Answers, serve

WORKERS = 16  # of its data loader
ROUNDING = 1e-7  # of a value, by which a repetition's initial tables differ
LARGEST = 10**9  # seed of C's generator
CUTOFFS = 4  # for each of which it makes a loader, and so draws a seed, at every look

# A loss: scores of the positives [b, 1], of negatives [b, n] and of the catalogue
# [b, i], and the batch's users [b] -> the mean loss.
Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class Pairs:
    """The training pairs, sorted by user and item, and the published order of them.

    Attributes:
      users, items: of the pairs, [p].
      sizes: number of users and of items.
    """

    def __init__(self, users: np.ndarray, items: np.ndarray, sizes: list[int]) -> None:
        self.users, self.items, self.sizes = users, items, sizes
        self.starts = np.searchsorted(users, np.arange(sizes[0] + 1))

    def of(self, users: np.ndarray, most: int | None = None) -> tuple[Any, Any]:
        """Rows of the users and their items, at most the first so many of each."""
        starts, ends = self.starts[users], self.starts[users + 1]
        count = np.minimum(ends - starts, most or len(self.users))
        rows = np.repeat(np.arange(len(users)), count)
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        return rows, self.items[np.repeat(starts, count) + within]

    def epoch(
        self, batch: int, negatives: int
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """An epoch's users [b], items [b] and their negatives [b, n]."""
        base, order = _seed(), torch.Generator()
        order.manual_seed(_seed())
        permuted = torch.randperm(len(self.users), generator=order).numpy()
        workers = [random.Random(base + worker) for worker in range(WORKERS)]
        for step, start in enumerate(range(0, len(permuted), batch)):
            index = permuted[start : start + batch]
            draw = workers[step % WORKERS].randint
            seeds = np.array([draw(0, LARGEST) for _ in index])
            users = self.users[index]
            drawn = distinct_outside(seeds, self.sizes[1], negatives, self.of(users))
            columns = users, self.items[index], drawn.astype(np.int64)
            yield tuple(torch.from_numpy(np.ascontiguousarray(c)) for c in columns)


def _seed() -> int:
    """A seed, as PyTorch's data loader and its sampler draw one."""
    return int(torch.empty((), dtype=torch.int64).random_().item())


class Scores:
    """Scores of a batch's users for the catalogue, and the way back to the tables."""

    def __init__(self, tables: list[Tensor], batch: int, cosine: bool) -> None:
        self._tables, self._cosine = tables, cosine
        sizes = batch, len(tables[1])  # the memory of a step serves all steps
        self._scores, self._gradient = torch.empty(sizes), torch.zeros(sizes)
        self._vectors: list[Tensor] = []

    def of(self, users: Tensor) -> Tensor:
        """The scores [b, i], until others are asked for."""
        rows = self._tables[0][users], self._tables[1]
        cosine = self._cosine
        self._vectors = [F.normalize(r, dim=1) if cosine else r for r in rows]
        query, items = (vectors.detach() for vectors in self._vectors)
        return torch.mm(query, items.T, out=self._scores[: len(users)])

    def backward(self, index: Tensor, gradient: Tensor) -> None:
        """Sets the tables' gradients by those of the scores at items [b, n]."""
        query, items = (vectors.detach() for vectors in self._vectors)
        whole = self._gradient[: len(index)].scatter_add_(1, index, gradient)
        torch.autograd.backward(self._vectors, [whole @ items, whole.T @ query])
        whole.scatter_(1, index, 0.0)


class AtK:
    """SL@K: the softmax loss of a pair, weighted by how far it is above rank K.

    The threshold of a user is set in every so many epochs, after each batch.
    """

    def __init__(
        self, pairs: Pairs, temperature: float, hyper: dict[str, float]
    ) -> None:
        self._pairs, self._temperature = pairs, temperature
        self._width, self.every = hyper["width"], int(hyper["every"])
        self._rank = int(hyper["cutoff"])
        self._threshold = torch.zeros(pairs.sizes[0])
        # Of a user with many items that code reads no more than most users have.
        self._most = int(np.percentile(np.diff(pairs.starts), 90))

    def __call__(
        self, own: Tensor, other: Tensor, catalogue: Tensor, users: Tensor
    ) -> Tensor:
        """The mean loss."""
        above = (own[:, 0] - self._threshold[users]) / self._width
        softmax = ((other - own) / self._temperature).logsumexp(1)
        return (torch.sigmoid(above) * softmax).mean()

    def set_thresholds(self, scores: Tensor, users: Tensor, negatives: Tensor) -> None:
        """The K-th highest score among a user's items and the batch's negatives."""
        seen = torch.full_like(scores, -torch.inf)
        rows, items = self._pairs.of(users.numpy(), self._most)
        for row, item in (
            (torch.arange(len(users))[:, None], negatives),
            (torch.from_numpy(rows), torch.from_numpy(items)),
        ):
            seen[row, item] = scores[row, item]
        self._threshold[users] = seen.topk(self._rank, dim=1).values[:, -1]


def _softmax(temperature: float) -> Loss:
    return lambda own, other, _, __: ((other - own) / temperature).logsumexp(1).mean()


def _psl(temperature: float) -> Loss:
    """PSL with relu, of half the cosine."""
    return lambda own, other, _, __: (
        ((1 + (other - own) / 2).log() / temperature).logsumexp(1).mean()
    )


def _ranked(weight: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """BPR, weighted by the ranks of both items among the catalogue."""

    def loss(own: Tensor, other: Tensor, catalogue: Tensor, users: Tensor) -> Tensor:
        ranks = [
            1 + (catalogue > z.detach()).sum(1, keepdim=True) for z in (own, other)
        ]
        return (F.softplus(other - own) * weight(*ranks)).mean()

    return loss


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


def _loss(request: dict[str, Any], pairs: Pairs) -> Loss:
    temperature, hyper = request["temperature"], request["hyper"]
    made: dict[str, Callable[[], Loss]] = {
        "decoupled-softmax": lambda: _softmax(temperature),
        "psl-relu": lambda: _psl(temperature),
        "sl-at-k": lambda: AtK(pairs, temperature, hyper),
        "lambda-rank": lambda: _ranked(_discounts),
        "lambda-loss": lambda: _ranked(_closeness),
        "lambda-loss-at-k": lambda: _ranked(_beyond(hyper["cutoff"])),
    }
    return made[request["loss"]]()


def replay(request: dict[str, Any]) -> Answers:
    """Trains; each answer is after ``every`` epochs, and names a file of the tables.

    Args:
      request: pairs, a file with users and items [p], sorted; sizes; seed;
        repetition, above 0 for tables that differ as by rounding; loss, temperature and
        hyper, as in a config; cosine, whether vectors have length 1; rate, decay,
        negatives, batch, epochs, every; out, the folder of the tables.
    """
    with np.load(request["pairs"]) as file:
        pairs = Pairs(file["users"], file["items"], request["sizes"])
    torch.manual_seed(request["seed"])
    tables = [nn.Embedding(n, request["dim"]).weight for n in request["sizes"]]
    if request["repetition"]:
        other = torch.Generator().manual_seed(request["repetition"])
        for table in tables:
            change = torch.randn(table.shape, generator=other)
            table.data.mul_(1 + ROUNDING * change)
    scores = Scores(tables, request["batch"], request["cosine"])
    loss = _loss(request, pairs)
    optimiser = torch.optim.Adam(
        tables, lr=request["rate"], weight_decay=request["decay"]
    )
    for epoch in range(1, 1 + request["epochs"]):
        total = 0.0
        for users, items, negatives in pairs.epoch(
            request["batch"], request["negatives"]
        ):
            catalogue = scores.of(users)
            index = torch.cat([items[:, None], negatives], dim=1)
            values = catalogue.gather(1, index).requires_grad_()
            value = loss(values[:, :1], values[:, 1:], catalogue, users)
            optimiser.zero_grad()
            (gradient,) = torch.autograd.grad(value, values)
            scores.backward(index, gradient)
            optimiser.step()
            total += value.item()
            if isinstance(loss, AtK) and epoch % loss.every == 0:
                loss.set_thresholds(scores.of(users), users, negatives)
        if epoch % request["every"]:
            continue
        path = Path(request["out"]) / f"epoch-{epoch}.npz"
        np.savez(path, *(table.detach().numpy() for table in tables))
        yield {"epoch": epoch, "loss": total, "tables": str(path)}
        for _ in range(CUTOFFS):
            _seed()


if __name__ == "__main__":
    serve({"replay": replay})
