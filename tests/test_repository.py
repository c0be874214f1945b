"""What the repository says of itself: paths, commands, sizes, versions."""

import ast
import contextlib
import importlib
import importlib.util
import io
import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from experiments.__main__ import COMMANDS, main
from experiments.lookup import experiments
from experiments.topics import OTHERS, TOPICS, by_topic

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
EXTENDING, REFERENCES = ROOT / "docs" / "extending.md", ROOT / "docs" / "references.md"
CHANGELOG = ROOT / "CHANGELOG.md"
PAGES = [
    *(README, ROOT / "CONTRIBUTING.md", CHANGELOG),
    *sorted((ROOT / "docs").glob("*.md")),
]
CODE = sorted(
    p for top in ("research", "experiments") for p in (ROOT / top).rglob("*.py")
)
FOLDERS = ("research", "experiments", "results", "docs", "notebooks", "tests", ".ci")
MAX_MODULE, MAX_FUNCTION = 600, 60

pages = pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
modules = pytest.mark.parametrize(
    "module", CODE, ids=lambda p: str(p.relative_to(ROOT))
)


def code_of(page: Path) -> list[str]:
    """What a page shows as code: every line of its blocks, every span in backticks."""
    text = page.read_text()
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.S | re.M)
    text = re.sub(r"^ *```\w*\n.*?^ *```", "", text, flags=re.S | re.M)
    lines = [line for block in blocks for line in block.splitlines()]
    return lines + re.findall(r"`([^`\n]+)`", text)


@pages
def test_paths_in_code_exist(page):
    found = []
    for code in code_of(page):
        for word in re.findall(r"[\w.*/+-]+", code):
            top = word.split("/")[0]
            named = re.fullmatch(r"[A-Z]{4,}\.\w+|requirements[\w-]*\.\w+", word)
            if ("/" in word and top in FOLDERS) or named or word == "pyproject.toml":
                found.append(word.rstrip("."))
    missing = [path for path in found if not list(ROOT.glob(path.rstrip("/")))]
    assert not missing


@pages
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    missing = [
        link
        for link in links
        if not link.startswith(("http://", "https://", "mailto:"))
        and not (page.parent / link).exists()
    ]
    assert not missing


@pages
def test_make_targets_exist(page):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    named = {
        name
        for code in code_of(page)
        for name in re.findall(r"^\s*(?:\w+=\w+ )?make ([a-z][\w-]*)", code)
    }
    assert named <= set(targets)
    if page == README:
        assert {"ablations", "test"} <= named


def commands_of(page: Path) -> list[list[str]]:
    """The words of each call of the command line, continuation lines joined."""
    calls = []
    for code in code_of(page):
        if match := re.search(r"python3? -m (experiments(?![.\w]).*)", code):
            calls.append(match[1])
        elif calls and re.match(r"\s{12,}\[", code):
            calls[-1] += " " + code.strip()
    return [re.split(r"\s{3,}(?!\[)", call)[0].split()[1:] for call in calls]


@pytest.fixture(scope="module")
def helps():
    """The help of every command."""
    texts = {}
    for command in COMMANDS:
        text = io.StringIO()
        with contextlib.redirect_stdout(text), pytest.raises(SystemExit):
            main([command, "--help"])
        texts[command] = text.getvalue()
    return texts


@pages
def test_commands_and_flags_exist(page, helps):
    for words in commands_of(page):
        if not words:
            continue
        command = words[0]
        assert command in COMMANDS
        flags = re.findall(r"--[\w-]+", " ".join(words))
        if command == "train":
            flags = [flag for flag in flags if flag != "--arm"]  # taken before tyro
        missing = [flag for flag in flags if flag not in helps[command]]
        assert not missing
        if command == "run" and words[1].islower():
            added = f'GRIDS["{words[1]}"]', f'STUDIES["{words[1]}"]'  # by the page
            assert words[1] in experiments() or any(
                a in page.read_text() for a in added
            )


@pages
def test_module_names_exist(page):
    named = set()
    for code in code_of(page):
        named |= set(re.findall(r"-m ([a-z_]\w*(?:\.\w+)*)", code))
        named |= set(re.findall(r"^(?:from|import) ([a-z_][\w.]*)", code))
        named |= set(re.findall(r"^((?:research|experiments)(?:\.\w+)+)$", code))
    # Those of requirements-serve.txt are imported by tests/experiments/test_models.py.
    served = {"faiss", "usearch"}
    named = {name for name in named if name.split(".")[0] not in served}
    assert not [name for name in named if not importlib.util.find_spec(name)]


@pytest.mark.parametrize("page", [README, EXTENDING], ids=lambda p: p.name)
def test_the_loss_of_the_documentation_works(page):
    """Mean of max(0, z_j - z_p + 1/2) over kept columns; 0 where none is kept."""
    import jax.numpy as jnp

    from research.logits.reducers import Dense
    from research.losses import LOSSES, Loss

    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.S | re.M)
    (block,) = [block for block in blocks if "def margin" in block]
    try:
        exec(block, {"jnp": jnp, "LOSSES": LOSSES, "Loss": Loss})
        loss = LOSSES["margin"]
    finally:
        LOSSES.pop("margin", None)
    z = jnp.array([[0.25, 1.25, 9.0], [3.0, 3.0, 3.0]])
    keep = jnp.array([[True, True, False], [False, False, False]])
    hyper = {name: jnp.float32(value) for name, (value, _) in loss.hyper.items()}
    value = loss.fn(jnp.array([1.0, 1.0]), Dense(z, keep), hyper)
    # row 1: 0.25 - 1 + 0.5 < 0 and 1.25 - 1 + 0.5 = 0.75, over two columns
    assert value.tolist() == [0.375, 0.0]


def keys_in(text: str) -> set[str]:
    """Citation keys such as [name2020] or [name2020, eq. 4; other2021]."""
    brackets = re.findall(r"\[([a-z]+(?:19|20)\d\d[a-z]*\b[^\][]{0,80})\]", text)
    return {
        key
        for bracket in brackets
        for key in re.findall(r"\b[a-z]+(?:19|20)\d\d[a-z]*\b", bracket)
    }


def test_every_citation_key_resolves_and_every_reference_is_cited():
    entries = re.findall(
        r'^- <a id="(\w+)"></a>\*\*(\w+)\*\*', REFERENCES.read_text(), re.M
    )
    assert all(anchor == key for anchor, key in entries)
    listed = [key for key, _ in entries]
    assert listed == sorted(set(listed))
    cited = {
        path.relative_to(ROOT): keys_in(path.read_text())
        for path in [*CODE, *PAGES, *(ROOT / "tests").rglob("*.py")]
        if path not in (REFERENCES, Path(__file__))
    }
    missing = {str(path): keys - set(listed) for path, keys in cited.items()}
    assert not {path: keys for path, keys in missing.items() if keys}
    assert not set(listed) - set().union(*cited.values())


@modules
def test_sizes(module):
    text = module.read_text()
    assert len(text.splitlines()) <= MAX_MODULE
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION
    ]
    assert not long


def test_no_module_swallows_everything():
    names = {
        part for path in CODE for part in path.relative_to(ROOT).with_suffix("").parts
    }
    assert not names & {"utils", "helpers", "misc", "common", "base", "manager"}


def texts() -> list[Path]:
    # A worktree's .git is a file with its path on the machine.
    paths = [p for p in ROOT.iterdir() if p.is_file() and p.name != ".git"]
    for top in FOLDERS:
        paths += [path for path in (ROOT / top).rglob("*") if path.is_file()]
    left_out = ("__pycache__", "runs", ".ipynb_checkpoints")
    return [p for p in paths if not set(left_out) & set(p.relative_to(ROOT).parts)]


def test_no_path_of_a_machine():
    pattern = re.compile(r"(?<![\w.])/(work|home|root|Users)/\w|\b[A-Z]:\\\w")
    found = []
    for path in texts():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if match := pattern.search(text):
            found.append(f"{path.relative_to(ROOT)}: {match[0]}")
    assert not found


def test_every_grid_and_study_has_a_topic_and_every_topic_has_some():
    assert not [one.name for one in experiments().values() if one.topic == OTHERS]
    assert set(by_topic(experiments())) == set(TOPICS) - {OTHERS}


def requirements(name: str) -> list[Requirement]:
    text = (ROOT / name).read_text()
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_the_lock_satisfies_the_floors(name):
    lock = {}
    for pinned in requirements("requirements.lock"):
        (spec,) = pinned.specifier
        assert spec.operator == "=="
        lock[canonical(pinned.name)] = Version(spec.version)
    for floor in requirements(name):
        assert floor.specifier, f"{floor.name} has no floor"
        assert lock[canonical(floor.name)] in floor.specifier


def test_what_is_imported_is_required():
    """Each third-party module that the code imports is a line of requirements.txt."""
    ours = {"research", "experiments"}
    found = set()
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add((node.module or "").split(".")[0])
    third = {canonical(name) for name in found - ours - set(sys.stdlib_module_names)}
    named = {"sklearn": "scikit-learn", "vl-convert": "vl-convert-python"}
    named |= {"faiss": "faiss-cpu", "pil": "pillow"}
    third = {named.get(name, name) for name in third}
    required = {canonical(r.name) for r in requirements("requirements.txt")}
    extras = {"ray"}
    files = "requirements-peers.txt", "requirements-concordance.txt"
    peers = {canonical(r.name) for name in files for r in requirements(name)}
    assert third - extras - peers <= required
