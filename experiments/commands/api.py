"""The functions meant to be called from a notebook, and their page, docs/api.md."""

import dataclasses
import inspect
import re
from collections.abc import Callable
from typing import Any

from research.config import GROUPS
from research.registry import deferred

# By topic; written as "module:function", imported when the page is made.
API: dict[str, tuple[str, ...]] = {
    "Data and arms": (
        "experiments.arms:arm",
        "experiments.loaded:fold_of",
        "research.report.popularity:draw_frame",
        "research.report.popularity:draw_figure",
    ),
    "Runs": (
        "experiments.notebook:compare",
        "experiments.notebook:load_run",
        "experiments.notebook:with_prior",
        "experiments.notebook:calibration_of",
        "research.report.records:load_records",
    ),
    "Tables and figures": (
        "research.report.tables:table",
        "research.report.tables:wide",
        "research.report.figures:arms_figure",
        "research.report.figures:sweep_figure",
        "research.report.figures:tradeoff_figure",
        "research.report.popularity:recall_by_decile",
        "research.report.popularity:decile_figure",
        "research.report.figures:history_frame",
        "research.report.figures:history_figure",
    ),
    "Lists": (
        "research.report.lists:user_list",
        "research.report.lists:user_clicks",
        "research.report.lists:compare_lists",
    ),
    "Saved models": ("research.saved.files:load_model",),
    "Studies": (
        "experiments.studies.magnifier:measure_magnifier",
        "experiments.studies.magnifier:magnifier_figure",
        "research.negatives.strength:correction_strength",
        "research.data.synthetic:make_synthetic",
        "experiments.studies.dial:dial_curve",
        "experiments.studies.dial:dial_figure",
    ),
}

_HEAD = """# Functions for notebooks

Ten lines that train three arms, compare them and keep the table:

```python
from experiments.arms import arm
from experiments.notebook import compare
from research.report.tables import table, wide

names = ("in-batch", "in-batch+logq", "full-softmax")
arms = {name: arm(name) for name in names}
results = compare(arms, seeds=2)
frame = table(results, "full-softmax")
print(wide(frame, ["ndcg", "recall", "coverage"], 20))
frame.to_csv("arms.csv", index=False)
```

Any field of `Config` is set by `dataclasses.replace`, as in `replace(config, dim=128)`.
`python -m experiments train --save DIR` saves a model, which `load_model` reads;
`notebooks/` has more. This page is made from docstrings by
`python -m experiments list api > docs/api.md`.
"""


def api_page() -> str:
    """The page in Markdown: the groups of fields, then each function's docstring."""
    parts = [_HEAD, _fields()]
    for title, paths in API.items():
        parts.append(f"## {title}\n")
        parts += [_section(path) for path in paths]
    return "\n".join(parts)


def _fields() -> str:
    """The fields of Config by group; help texts are those of the command line."""
    lines = [
        f"- {inspect.getdoc(group)} "
        + ", ".join(f"`{field.name}`" for field in dataclasses.fields(group))
        for group in GROUPS
    ]
    about = "`python -m experiments train --help` says what each field is."
    return "\n".join(["## Config\n", about, "", *lines, ""])


def _section(path: str) -> str:
    function: Callable[..., Any] = deferred(path).load()
    module, name = path.split(":")
    words = [_parameter(p) for p in inspect.signature(function).parameters.values()]
    text = _markdown(inspect.getdoc(function) or "")
    call = f"from {module} import {name}\n\n{name}({', '.join(words)})"
    return f"### {name}\n\n```python\n{call}\n```\n\n{text}\n"


def _parameter(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return parameter.name
    return f"{parameter.name}={parameter.default!r}"


def _markdown(docstring: str) -> str:
    """A docstring as Markdown: sections of arguments and errors become lists.

    >>> print(_markdown("Adds.\\n\\nArgs:\\n  a: one,\\n    or two.\\n  b: more."))
    Adds.
    <BLANKLINE>
    **Args**
    <BLANKLINE>
    - `a`: one, or two.
    - `b`: more.
    """
    text = re.sub(r"``(.+?)``", r"`\1`", docstring)
    text = re.sub(r"^(>>> .*(?:\n.+)*)", r"```python\n\1\n```", text, flags=re.M)
    first, *parts = re.split(r"^(Args|Returns|Raises):\n", text, flags=re.M)
    for title, body in zip(parts[::2], parts[1::2], strict=True):
        if title != "Returns":
            body = re.sub(r"\n {4,}", " ", body)  # a line that goes on
            body = re.sub(r"^  ([\w, ]+): ", r"- `\1`: ", body, flags=re.M)
        first += f"**{title}**\n\n{re.sub(r'^  ', '', body, flags=re.M)}"
    return first
