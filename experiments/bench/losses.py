"""The benchmark loss: how near the loss comes to its three matrix products."""

from typing import Any

from experiments.bench.asking import alone, ours
from experiments.bench.found import Found, Row, Target, ratio
from experiments.bench.setting import Setting
from experiments.bench.sides import Failed

__all__ = ["run_losses"]

BATCHES = (1024, 4096, 8192)
ASKED = {4096: 2.0, 8192: 2.0}
REPEATS = 7
FULL, AS_IS = "its three products, at full speed", "its three products, as they are"


def run_losses(setting: Setting) -> Found:
    """Each form at each batch."""
    work = setting.work("ml-1m")
    told: dict[str, Any] = {"task": "loss", **work.told()}
    rows: list[Row] = []
    targets: list[Target] = []
    for batch in (32,) if setting.quick else BATCHES:
        case = f"batch {batch:,}"
        start = ours(setting, {**told, "batch": batch})
        try:
            ready, portions, _ = alone(start, 2 if setting.quick else REPEATS)
        except Failed as error:
            rows.append(Row(case, "this project", note=f"failed: {error}"))
            continue
        chosen = f"{ready['chosen']} (what training takes at this size)"
        for name, form in (
            *(("dense", "dense"), ("blocked", "blocked")),
            *((AS_IS, "products"), (FULL, "large")),
        ):
            factor = 1e3 * (ready["full_speed"] if name == FULL else 1.0)
            values = tuple(portion[form] * factor for portion in portions)
            side = chosen if name == ready["chosen"] else name
            rows.append(Row(case, side, "ms", values))
        if batch in ASKED:
            seen = ratio(tuple(rows), case, chosen, FULL)
            what = f"{case}: {ready['chosen']} loss over {FULL}"
            targets.append(Target(what, ASKED[batch], False, seen))
        setting.say(f"loss: {case} measured")
    about = (
        "In-batch softmax with log q and the row's own item masked, forward and "
        "backward to both sides' vectors of 64, without towers. Full speed is that of "
        "a product of two matrices of 2,048 rows and columns, measured in between."
    )
    return Found("loss", about, tuple(rows), tuple(targets), setting.told(work))
