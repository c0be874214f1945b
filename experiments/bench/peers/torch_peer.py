"""The work in PyTorch, eager or compiled, with a dense or a sparse optimiser.

As its documentation advises: embedding bags for the mean of a history, their rows of
padding left out, sparse gradients for SparseAdam, cross-entropy over the logits, and
the forward pass of a whole step under torch.compile. It reads the file of the work
alone (experiments/bench/work.py lists its arrays).
"""

import time
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from experiments.bench.protocol import COMPARED, Answers, portion_slices, serve


class TwoTower(nn.Module):
    """Both towers and the loss of a batch."""

    def __init__(self, work: dict[str, np.ndarray], sparse: bool) -> None:
        super().__init__()
        items, dim = work["item_table"].shape
        self.user = nn.Embedding(*work["user_table"].shape, sparse=sparse)
        self.item = nn.Embedding(items, dim, sparse=sparse)
        self.history = nn.EmbeddingBag(
            items + 1, dim, mode="mean", padding_idx=items, sparse=sparse
        )
        self.user_tower, self.item_tower = _mlp(work, "user"), _mlp(work, "item")
        self.register_buffer("log_q", torch.tensor(work["log_q"]))
        self.temperature = float(work["temperature"])
        with torch.no_grad():
            self.user.weight.copy_(torch.tensor(work["user_table"]))
            self.item.weight.copy_(torch.tensor(work["item_table"]))
            padded = np.pad(work["history_table"], [(0, 1), (0, 0)])
            self.history.weight.copy_(torch.tensor(padded))

    def forward(
        self, user: torch.Tensor, history: torch.Tensor, item: torch.Tensor
    ) -> torch.Tensor:
        """Mean loss of the batch."""
        features = torch.cat([self.history(history), self.user(user)], dim=1)
        query = F.normalize(self.user_tower(features), dim=1)
        row = self.item(item)
        vectors = F.normalize(self.item_tower(row) + row, dim=1)
        logits = query @ vectors.T / self.temperature - self.log_q[item]
        same = item[:, None] == item[None, :]
        own = torch.eye(len(item), dtype=torch.bool)
        logits = logits.masked_fill(same & ~own, -torch.inf)
        return F.cross_entropy(logits, torch.arange(len(item)))


def train_steps(request: dict[str, Any]) -> Answers:
    """Steps of training on the work, a portion at a time."""
    work = dict(np.load(request["work"]))
    sparse, steps = request.get("sparse", False), request["steps"]
    model = TwoTower(work, sparse)
    optimisers = _optimisers(model, sparse)
    forward = torch.compile(model) if request.get("compiled") else model
    order = torch.tensor(work[f"batches_{request['batch']}"].astype(np.int64))
    columns = [
        torch.tensor(work[name].astype(np.int64))
        for name in ("user", "history", "item")
    ]

    def run(part: slice) -> list[torch.Tensor]:
        losses = []
        for index in order[part]:
            loss = forward(*(column[index] for column in columns))
            for optimiser in optimisers:
                optimiser.zero_grad(set_to_none=True)
            loss.backward()
            for optimiser in optimisers:
                optimiser.step()
            losses.append(loss.detach())
        return losses

    clock = time.perf_counter()
    losses = run(slice(1))
    first = time.perf_counter() - clock
    losses += run(slice(1, steps))
    yield {
        "compile_seconds": first,
        "losses": [float(loss) for loss in losses[:COMPARED]],
        "versions": {"torch": torch.__version__},
    }
    for part in portion_slices(len(order), steps, start=steps):
        clock = time.perf_counter()
        done = run(part)
        yield {"seconds": time.perf_counter() - clock, "steps": len(done)}


def _mlp(work: dict[str, np.ndarray], tower: str) -> nn.Sequential:
    layers = []
    for n in range(2):
        kernel = torch.tensor(work[f"{tower}_{n}_kernel"])
        layer = nn.Linear(*kernel.shape)
        with torch.no_grad():
            layer.weight.copy_(kernel.T)
            layer.bias.copy_(torch.tensor(work[f"{tower}_{n}_bias"]))
        layers.append(layer)
    return nn.Sequential(layers[0], nn.ReLU(), layers[1])


def _optimisers(model: TwoTower, sparse: bool) -> list[torch.optim.Optimizer]:
    """Adam; where the tables' gradients are sparse, SparseAdam for them."""
    tables = [model.user.weight, model.item.weight, model.history.weight]
    if not sparse:
        return [torch.optim.Adam(model.parameters(), lr=1e-3)]
    nets = [*model.user_tower.parameters(), *model.item_tower.parameters()]
    return [torch.optim.SparseAdam(tables, lr=1e-3), torch.optim.Adam(nets, lr=1e-3)]


if __name__ == "__main__":
    serve({"train": train_steps})
