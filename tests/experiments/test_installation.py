"""Two copies of the project, one at hand and one installed: one line, exit status 2."""

import os
from pathlib import Path

import pytest

from experiments.commands import preconditions
from tests.experiments.test_bad_input import refused
from tests.process import python

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path):
    """A folder with the looks of another clone of the project, and one below it."""
    for file in ("experiments/__main__.py", "research/__init__.py"):
        path = tmp_path / "clone" / file
        path.parent.mkdir(parents=True)
        path.touch()
    (tmp_path / "clone" / "notebooks").mkdir()
    return tmp_path / "clone"


@pytest.mark.parametrize("below", [".", "notebooks"])
def test_a_clone_that_is_not_the_one_imported_is_refused(
    below, call, clone, monkeypatch
):
    monkeypatch.chdir(clone / below)
    words = (str(clone), str(ROOT), "run make")
    for command in (("list",), ("run", "ssb")):
        refused(call(*command), *words)


@pytest.mark.parametrize("folder", [ROOT, ROOT / "notebooks", Path("/")])
def test_a_single_copy_is_used_from_anywhere(folder, call, monkeypatch):
    monkeypatch.chdir(folder)
    assert call("list").status == 0


def test_a_folder_that_was_removed_is_refused(call, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    refused(call("list"), "the current folder was removed")


def test_packages_of_two_copies_are_refused(call, clone, monkeypatch):
    found = {"research": clone, "experiments": ROOT}
    monkeypatch.setattr(preconditions, "_folder_of", found.__getitem__)
    refused(call("list"), f"research is imported from {clone}", str(ROOT), "run make")


def test_packages_of_two_copies_are_found_apart(clone):
    """In a process of its own: research of a clone, experiments of this one."""
    (clone / "experiments" / "__main__.py").unlink()
    (clone / "experiments").rmdir()
    module = "experiments.commands.preconditions"
    program = f"from pathlib import Path\nfrom {module} import conflict"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(clone), str(ROOT)])}
    code = f"{program}\nprint(conflict(Path('/')))"
    told = python("-c", code, cwd=clone, env=env)
    assert str(clone) in told
    assert str(ROOT) in told
