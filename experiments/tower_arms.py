"""Arms that change what a tower is given or how it is built, over in-batch+logq."""

from typing import Any

__all__ = ["TOWER_ARMS"]

_HISTORY: dict[str, dict[str, Any]] = {
    "encoder-none": {"encoder": "none"},
    "encoder-learned": {"encoder": "learned"},
    "encoder-profile": {"encoder": "profile"},
    "encoder-last-click": {"encoder": "last-click"},
    "encoder-self-attention": {"encoder": "self-attention"},
    "encoder-query": {"encoder": "query", "search": "simulated"},
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

_USER = ("gender", "age", "occupation", "zip")
_ITEM = ("id", "genres", "year")
_FEATURES: dict[str, dict[str, Any]] = {
    # One more than the reference has.
    "features+user-id": {"user_features": (*_USER, "id")},
    "features+genre-profile": {"user_features": (*_USER, "genre-profile")},
    "features+history-age": {"user_features": (*_USER, "history-age")},
    "features+title": {"item_features": (*_ITEM, "title")},
    "features+profile": {"item_features": (*_ITEM, "profile")},
    "features+dynamic": {"item_features": (*_ITEM, "dynamic")},
    # What dynamic asks for, without it.
    "features+time-order": {"batch_order": "time"},
    # One less.
    "features-demographics": {"user_features": ()},
    "features-history": {"encoder": "none"},
    "features-item-id": {"item_features": ("genres", "year")},
    "features-genres": {"item_features": ("id", "year")},
    "features-year": {"item_features": ("id", "genres")},
    # All that keep the batches as they are, but the user's id.
    "features-all": {
        "user_features": (*_USER, "genre-profile", "history-age"),
        "item_features": (*_ITEM, "title", "profile"),
    },
}

# Hidden layers of both towers, or of one.
_DEPTH: dict[str, dict[str, Any]] = {
    f"layers-{name}": {"user_hidden": widths, "item_hidden": widths}
    for name, widths in {
        "none": (),
        "64": (64,),
        "256": (256,),
        "512": (512,),
        "128-128": (128, 128),
        "256-128": (256, 128),
        "128-128-128": (128, 128, 128),
    }.items()
} | {
    "layers-none-of-user": {"user_hidden": ()},
    "layers-none-of-item": {"item_hidden": ()},
}

# The towers that were best on validation (the grid towers-choice), and each of their
# choices undone.
_CHOSEN: dict[str, Any] = {
    "negatives": ("catalogue",),
    "mask_user_positives": True,
    "temperature": 0.15,
    "history": 200,
    "dim": 128,
    "user_hidden": (256,),
    "item_hidden": (256,),
    "dropout": 0.1,
}
_UNDONE: dict[str, dict[str, Any]] = {
    "temperature-0.2": {"temperature": 0.2},
    "history-50": {"history": 50},
    "dim-64": {"dim": 64},
    "hidden-128": {"user_hidden": (128,), "item_hidden": (128,)},
    "dropout-0.2": {"dropout": 0.2},
}
CHOICE: dict[str, dict[str, Any]] = {
    "chosen-towers": _CHOSEN,
    **{f"chosen-towers+{name}": _CHOSEN | back for name, back in _UNDONE.items()},
}

TOWER_ARMS: dict[str, dict[str, Any]] = {
    name: {"logq": 1.0, **changes}
    for name, changes in (_HISTORY | _FEATURES | _DEPTH).items()
} | CHOICE
