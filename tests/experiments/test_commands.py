"""The commands as a person meets them: what they list, accept, print and draw."""

import dataclasses
import re
from pathlib import Path

import pandas as pd
import pytest

from experiments.__main__ import COMMANDS, main, parse
from experiments.arms import ARMS, arm
from experiments.commands import train as one_run
from experiments.commands.api import API, api_page
from experiments.grids import GRIDS
from experiments.loaded import prepared_run
from experiments.resolve import expand
from experiments.studies import STUDIES
from research.config import Config, swept_fields
from research.data import DATASETS
from research.files import read_json
from research.losses import LOSSES
from research.marks import SERVING, marked
from research.negatives import SOURCES
from research.negatives.frequencies import FREQUENCIES
from research.registry import deferred
from research.splits import SPLITS
from research.towers import ENCODERS
from research.types import FEW_NAMES
from tests.experiments.made import TINY, runs_of, write_larger_100k

ROOT = Path(__file__).parents[2]
OWN = ("few", "warm", "holed", "killed")
GRID_NAMES = [name for name in GRIDS if name not in OWN]
ARM_NAMES = [name for name in ARMS if name not in TINY]
FIELDS = dataclasses.fields(Config)


def helped(capsys, *words) -> str:
    """The help of a command, its boxes undone."""
    try:
        status = main([*words, "--help"])
    except SystemExit as end:
        status = end.code
    assert not status
    out, err = capsys.readouterr()
    assert err == ""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", out).split())


def test_the_help_names_every_command(capsys):
    text = helped(capsys)
    for name in COMMANDS:
        assert re.search(rf"\b{name}\b", text)
    for command in COMMANDS:
        assert "Output folder" in helped(capsys, command) or command in (
            "list",
            "check",
            "data",  # writes where --write says
        )


def test_every_field_of_the_config_is_a_flag_with_its_help(capsys):
    text = helped(capsys, "train")
    source = (ROOT / "research" / "fields.py").read_text()
    for field in FIELDS:
        assert re.search(rf"--{field.name.replace('_', '-')}[ ,]", text)
        pattern = rf'\n    {field.name}: .*?\n    """(.*?)"""\n'
        (about,) = re.findall(pattern, source, re.S)
        assert len(about) > 10
        assert " ".join(about.split()) in text


def test_grids_and_studies_are_under_their_own_names():
    assert {"ssb", "temperature"} <= set(GRID_NAMES)
    assert not set(STUDIES) & set(GRIDS)
    for name, grid in GRIDS.items():
        assert grid.name == name
        assert set(grid.arms) <= set(ARMS)
        assert grid.reference in grid.arms
        assert set(grid.swept) <= {*swept_fields(), *marked(Config, SERVING)}
    for name, study in STUDIES.items():
        assert study.name == name
        assert all(callable(function.load()) for function in (study.run, study.report))


@pytest.mark.parametrize("name", ARM_NAMES)
def test_train_starts_from_every_arm(name):
    words = ["train", "--arm", name, "--temperature", "0.3", "--epochs", "7"]
    assert one_run.plain(parse(words).config) == dataclasses.replace(
        arm(name), temperature=0.3, epochs=7
    )


@pytest.mark.parametrize(
    ("registry", "flag"),
    [
        (DATASETS, "dataset"),
        (SPLITS, "split"),
        (FREQUENCIES, "frequency"),
        (ENCODERS, "encoder"),
    ],
)
def test_the_choices_are_the_keys_of_the_registry(registry, flag, call, tmp_path):
    called = call("train", f"--{flag}", "zzz", "--out", tmp_path / "out")
    choices = called.err.split(": choose ")[1].removeprefix("from ")
    listed = re.sub(r" \(nearest: .*", "", choices.strip()).split(", ")
    assert sorted(listed) == sorted(registry)


@pytest.mark.parametrize(
    ("registry", "flag", "all_of_them"),
    [
        (LOSSES, "loss", "losses"),
        (SOURCES, "negatives", "sources"),
        (ARMS, "arm", "arms"),
    ],
)
def test_of_many_choices_the_nearest_are_named(registry, flag, all_of_them, call):
    called = call("train", f"--{flag}", "unifrm")
    *named, others = called.err.split(": choose ")[1].split(", ")
    assert len(named) == FEW_NAMES
    assert set(named) <= set(registry)
    count = f"or one of {len(registry) - FEW_NAMES} others"
    assert others.strip() == f"{count} (python -m experiments list {all_of_them})"


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    return write_larger_100k(tmp_path_factory.mktemp("larger"))


@pytest.mark.parametrize("name", GRID_NAMES)
def test_every_cell_of_a_grid_can_be_prepared(name, larger):
    """A quick grid keeps every arm, with one seed and the ends of what is swept."""
    grid = GRIDS[name]
    cells = expand(grid, Config(), quick=True)
    assert {cell.arm for cell in cells} == set(grid.arms)
    assert {cell.seed for cell in cells} == {0}
    assert {cell.config.epochs for cell in cells} == {2}
    assert len(cells) <= len(expand(grid, Config(), seeds=1))
    for cell in cells:
        # The made clicks lie years apart: one session a user, else there are no pairs.
        config = cell.config
        if config.positives == "item-item":
            long = "item-item,gap=1000000"
            config = dataclasses.replace(config, positives=long)
        prepared_run(config, str(larger))


def test_train_prints_the_metrics_at_20_and_whose_recall_a_line_is(done, tmp_path):
    words = ("train", "--arm", "tiny+prior", "--out", tmp_path)
    trained, found = done(*words), done(*words)
    (run,) = runs_of(tmp_path, "train")
    plain, served = (read_json(f / "metrics.json") for f in (run, run / "prior+1"))
    for called in (trained, found):
        assert f"files in {run / 'prior+1'}" in called.out
        for metric in ("recall", "ndcg", "coverage"):
            assert f"{metric}@20 {served[metric]['20']:.4f}\n" in called.out
    assert plain["recall"]["20"] != served["recall"]["20"]
    assert f"R@20 {plain['recall']['20']:.4f} as trained (" in trained.out
    called = done("train", "--arm", "tiny", "--out", tmp_path / "plain")
    assert "as trained" not in called.out


def test_the_page_is_in_step_with_the_docstrings(call):
    page = (ROOT / "docs" / "api.md").read_text()
    assert page == api_page(), "python -m experiments list api > docs/api.md"
    assert call("list", "api").out == page


def test_the_first_lines_of_the_page_run(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOVIELENS_DIR", str(data))
    code = api_page().split("```python\n")[1].split("```")[0]
    base = dataclasses.replace(Config(), epochs=1, dim=4)
    code = code.replace("arm(name)", "arm(name, base)").replace("seeds=2", "seeds=1")
    exec(code, {"base": base})
    arms = pd.read_csv("arms.csv").arm
    assert set(arms) == {"in-batch", "in-batch+logq", "full-softmax"}


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
