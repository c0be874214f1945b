"""Training as the code of SL@K's paper does it, from the same random numbers.

That code [yang2025slatk] fixes one seed. Its initial tables and the order of its pairs
are PyTorch's; workers of its data loader, each with a seed of Python's, draw negatives
by rand() of C, each pair's own ones, distinct and outside the user's training items.
All of these are made here as there, so that a run of a table can be replayed, but for
how its processor rounds. What is computed was written from the formulas.
"""

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.bench.peers.irb.c_random import distinct_outside, fill_distinct
from experiments.bench.peers.irb.losses import Batch, Loss, make_loss
from experiments.bench.peers.irb.sampled import sampled
from experiments.bench.protocol import Answers, serve

WORKERS = 16  # of its data loader
ROUNDING = 1e-7  # of a value, by which a repetition's initial tables differ
LARGEST = 10**9  # seed of C's generator
_fill = numba.njit(fill_distinct)


class Pairs:
    """The training pairs, sorted by user and item, and the published order of them.

    Attributes:
      users, items: of the pairs, [p].
      sizes: number of users and of items.
    """

    def __init__(self, users: np.ndarray, items: np.ndarray, sizes: list[int]) -> None:
        self.users, self.items, self.sizes = users, items, sizes
        bounds = np.searchsorted(users, np.arange(sizes[0] + 1))
        self._spans = np.stack([bounds[:-1], bounds[1:]], axis=1)

    def of_users(self) -> list[np.ndarray]:
        """The items of each user."""
        return [self.items[first:end] for first, end in self._spans]

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
            own = self._spans[users], self.items
            drawn = distinct_outside(seeds, self.sizes[1], negatives, own, _fill)
            columns = users, self.items[index], drawn
            yield tuple(torch.from_numpy(column) for column in columns)


def _seed() -> int:
    """A seed, as PyTorch's data loader and its sampler draw one."""
    return int(torch.empty((), dtype=torch.int64).random_().item())


class Model:
    """Tables of users and of items, whose scores are dot products or cosines.

    Args:
      request: sizes, dim, cosine, repetition, rate, decay.
    """

    def __init__(self, request: dict[str, Any]) -> None:
        self.tables = [nn.Embedding(n, request["dim"]).weight for n in request["sizes"]]
        if request["repetition"]:
            other = torch.Generator().manual_seed(request["repetition"])
            for table in self.tables:
                change = torch.randn(table.shape, generator=other)
                table.data.mul_(1 + ROUNDING * change)
        self._cosine = request["cosine"]
        self._optimiser = torch.optim.Adam(
            self.tables, lr=request["rate"], weight_decay=request["decay"], fused=True
        )

    def vectors(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """Those of the users [b, d] and of all items [i, d]."""
        query, items = self.tables[0][users], self.tables[1]
        if self._cosine:
            return F.normalize(query, dim=1), F.normalize(items, dim=1)
        return query, items

    @torch.no_grad()
    def catalogue(self, users: Tensor) -> Tensor:
        """The scores of the users for all items, [b, i]."""
        query, items = self.vectors(users)
        return query @ items.T

    def epoch(
        self, epoch: int, batches: Iterator[tuple[Tensor, ...]], loss: Loss
    ) -> float:
        """Trains on the batches; the sum of their losses."""
        optimiser, total = self._optimiser, 0.0
        if still := loss.begin(epoch):
            optimiser = loss.optimiser
        for users, items, negatives in batches:
            batch = Batch(users, items, negatives, partial(self.catalogue, users))
            index = torch.cat([items[:, None], negatives], dim=1)
            with torch.set_grad_enabled(not still):
                scores = sampled(*self.vectors(users), index)
            value = loss(scores[:, :1], scores[:, 1:], batch).mean()
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            total += value.item()
            loss.observe(epoch, batch)
        return total


def replay(request: dict[str, Any]) -> Answers:
    """Trains; each answer is after ``every`` epochs, and names a file of the tables.

    Args:
      request: pairs, a file with users and items [p], sorted; sizes; seed;
        repetition, above 0 for tables that differ as by rounding; loss, temperature and
        hyper, as in a config; cosine, whether vectors have length 1; rate, decay,
        negatives, batch, epochs, every; cutoffs, how many seeds are drawn after an
        answer; out, the folder of the tables.
    """
    with np.load(request["pairs"]) as file:
        pairs = Pairs(file["users"], file["items"], request["sizes"])
    torch.manual_seed(request["seed"])
    model = Model(request)
    loss = make_loss(request, pairs.of_users())
    for epoch in range(1, 1 + request["epochs"]):
        batches = pairs.epoch(request["batch"], request["negatives"])
        total = model.epoch(epoch, batches, loss)
        if epoch % request["every"]:
            continue
        path = Path(request["out"]) / f"epoch-{epoch}.npz"
        np.savez(path, *(table.detach().numpy() for table in model.tables))
        yield {"epoch": epoch, "loss": total, "tables": str(path)}
        for _ in range(request["cutoffs"]):  # a loader for each, which draws a seed
            _seed()


if __name__ == "__main__":
    serve({"replay": replay})
