"""docs/api.md is what the docstrings say."""

import re
from pathlib import Path

from experiments.commands.api import API, api_page
from research.registry import deferred

ROOT = Path(__file__).parents[2]


def test_the_page_is_in_step_with_the_docstrings(call):
    page = (ROOT / "docs" / "api.md").read_text()
    assert page == api_page(), "python -m experiments list api > docs/api.md"
    assert call("list", "api").out == page


def test_every_function_says_what_it_does_and_takes():
    page = api_page()
    for path in (path for paths in API.values() for path in paths):
        module, name = path.split(":")
        section = re.search(rf"^### {name}\n(.*?)(?=^##|\Z)", page, re.S | re.M)[1]
        assert f"from {module} import {name}\n" in section
        function = deferred(path).load()
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        if len(names) > 2:
            assert all(f"- `{name}`: " in section for name in names)
