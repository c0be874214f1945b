"""Arms that change what a tower is given or how it is built, over in-batch+logq."""

from typing import Any

__all__ = ["TOWER_ARMS"]

_HISTORY: dict[str, dict[str, Any]] = {
    "encoder-none": {"encoder": "none"},
    "encoder-learned": {"encoder": "learned"},
    "encoder-profile": {"encoder": "profile"},
    "encoder-last-click": {"encoder": "last-click"},
    "encoder-self-attention": {"encoder": "self-attention"},
    # The same items in an order that says nothing: what is the order worth?
    "encoder-last-click-shuffled": {
        "encoder": "last-click",
        "history_order": "shuffled",
    },
    "encoder-self-attention-shuffled": {
        "encoder": "self-attention",
        "history_order": "shuffled",
    },
}

TOWER_ARMS: dict[str, dict[str, Any]] = {
    name: {"logq": 1.0, **changes} for name, changes in _HISTORY.items()
}
