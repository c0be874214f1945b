"""The second reference recipe: towers that also hold outside MovieLens.

The first one, the defaults of ``Config``, forces history and code rows through a hidden
layer and trains for a fixed length. Here each id has a row of its own, beside a linear
map of the pooled history and the features; hidden layers start at zero; whole clicks of
the history are dropped in training. Found on validation by the grid ``recipe``.
"""

from typing import Any

SECOND: dict[str, Any] = {
    "layers": "residual",
    "temperature": 0.2,
    "learning_rate": 3e-3,
    "table_rate": 30.0,
    "click_dropout": 0.5,
    "epochs": 40,
}
