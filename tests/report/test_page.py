"""The page in a browser: what a reader clicks, and what it must never do.

They need a Chromium (Debian: apt-get install chromium) and playwright, which make
test-all installs, and fail without them.
"""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from experiments.grids import GRIDS
from experiments.pages.explore import explore
from research.files import write_json
from research.report.contrasts import paired
from research.report.records import save_records
from research.types import InputError
from tests.report.made import made_rows, swept_rows

pytestmark = pytest.mark.slow

RESULTS = Path(__file__).parents[2] / "results"
HEADER = {
    "dataset": "ml-100k",
    "split": "ratio",
    "quick": False,
    "data_digest": "d" * 64,
}
EVIL = '<script>window.evil = 1</script>"><img src=x onerror="window.evil = 1">'
POINTS = "#trade-off .mark-symbol.role-mark path"
LEAVES = (
    "[...document.querySelectorAll('main *')]"
    ".filter((e) => e.childElementCount == 0 && e.textContent.trim())"
)
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.fail("no playwright: pip install -r requirements-browser.txt")
    program = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if program is None:
        pytest.fail("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as player:
        started = player.chromium.launch(executable_path=program)
        yield started
        started.close()


@pytest.fixture
def opened(browser):
    """Opens a page at a section and a width: no request, error or warning follows."""
    pages, wrong = [], []

    def opened(path, section="", width=1280):
        page = browser.new_page(viewport={"width": width, "height": 900})
        file = f"file://{path}"
        page.on(
            "request",
            lambda r: (
                wrong.append(r.url)
                if r.url[: len(file)] != file and not r.url.startswith("data:")
                else None
            ),
        )
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None,
        )
        page.goto(f"{file}#{section}")
        page.wait_for_function("document.body.dataset.ready")
        page.wait_for_selector("#learning-curves, main table")
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.close()
    assert wrong == []


def rows_of_evil():
    return [
        row._replace(arm=EVIL if row.arm == "popularity" else row.arm)
        for row in made_rows()
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A page of made records: ssb, and temperature with its swept values."""
    out = tmp_path_factory.mktemp("page")
    epochs = {"epoch": [1.0, 2.0, 3.0], "loss": [5.0, 4.0, 3.5]}
    swept = [row._replace(history=epochs) for row in swept_rows()]
    for name, rows in {"ssb": rows_of_evil(), "temperature": swept}.items():
        path = out / "records" / "ml-100k" / f"{name}.npz"
        save_records(path, rows, {**HEADER, "grid": name})
    held = made_rows()[0].record.held
    user = int(np.flatnonzero(held == np.quantile(held, 0.5, method="lower"))[0])
    names = ("user", "id", "place", "title", "held_out", "item")
    kept = [
        [dict(zip(names, (str(user), "7", "1", *place))) for place in of_run]
        for of_run in (
            [("Heat", "1", "5"), (EVIL, "0", "6"), ("Heat", "0", "7")],
            [("Fargo", "0", "8"), ("Heat", "1", "5"), ("Heat", "0", "9")],
        )
    ]
    lists = {"0": kept[0], "3": kept[1]}
    write_json(out / "runs" / "ml-100k" / "ssb-lists.json", lists)
    grid = GRIDS["ssb"]
    with pytest.MonkeyPatch.context() as patched:
        evil = grid._replace(question=EVIL, note=EVIL, prediction=EVIL)
        patched.setitem(GRIDS, "ssb", evil)
        path, holes = explore(out)
    assert holes == []
    return path


def column(page, name, table="#table"):
    """The texts of a column of a table, in the order of its rows."""
    heads = page.locator(f"{table} thead th").all_inner_texts()
    at = [re.sub(r"\s*[▲▼]", "", head) for head in heads].index(name) + 1
    return page.locator(f"{table} tbody tr > :nth-child({at})").all_inner_texts()


def numbers(texts):
    return [float(text.rstrip("†")) for text in texts]


def test_a_heading_sorts_either_way(made, opened):
    page = opened(made, "ml-100k/temperature")
    assert len(column(page, "R@20")) == 12
    head = page.locator("#table thead th", has_text="R@20")
    head.locator("button").click()
    values = numbers(column(page, "R@20"))
    assert values == sorted(values, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    page.keyboard.press("Enter")  # the focus stays on the heading
    assert numbers(column(page, "R@20")) == sorted(values)
    assert head.get_attribute("aria-sort") == "ascending"


def test_rows_are_filtered_by_name_arm_and_swept_value(made, opened):
    page = opened(made, "ml-100k/temperature")
    page.get_by_label("Filter rows by name").fill("LOGQ")
    assert set(column(page, "arm")) == {"in-batch+logq"}
    assert page.get_by_text("4 of 12 rows shown").is_visible()
    page.get_by_label("temperature", exact=True).select_option("0.2")
    assert column(page, "temperature") == ["0.2"]
    page.get_by_label("Filter rows by name").fill("")
    page.get_by_text("Arms on and off", exact=True).click()
    page.get_by_label("full-softmax", exact=True).uncheck()
    assert column(page, "arm") == ["in-batch", "in-batch+logq"]
    # a figure narrows with the table
    page.wait_for_function(f"document.querySelectorAll('{POINTS}').length == 2")


def test_where_no_row_passes_nothing_is_drawn_and_all_comes_back(made, opened):
    page = opened(made, "ml-100k/temperature")
    words = page.get_by_label("Filter rows by name")
    words.fill("no such arm")
    page.wait_for_selector("#popularity >> text=Nothing to draw")
    assert page.locator("main svg").count() == 0
    assert page.evaluate("document.documentElement.scrollHeight") < 10_000
    words.fill("LOGQ")
    page.wait_for_function(f"document.querySelectorAll('{POINTS}').length == 4")
    assert page.locator("main svg").count() == 4


def test_a_table_is_one_stop_and_arrows_move_in_it(made, opened):
    page = opened(made, "ml-100k/temperature")
    assert page.locator("#table tbody button[tabindex='0']").count() == 1
    first = page.locator("#table tbody td button").first
    first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    about = page.evaluate("document.activeElement.ariaLabel")
    assert about.startswith("in-batch, temperature 0.1: recall@100")
    assert page.locator("#tip").is_visible()


def test_focus_is_never_under_the_filters(made, opened):
    page = opened(made, "ml-100k/temperature")
    page.locator("#trade-off select").first.focus()
    seen = """() => {
      const { left, top } = document.activeElement.getBoundingClientRect();
      return !document.elementFromPoint(left + 2, top + 2)?.closest('.shown');
    }"""
    for _ in range(8):  # back to the headings of the table
        page.keyboard.press("Shift+Tab")
        assert page.evaluate(seen)


def test_a_printed_figure_is_as_wide_as_the_paper(made, opened):
    page = opened(made, "ml-100k/temperature")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 720, "height": 1000})
    every = "[...document.querySelectorAll('{}')].map((e) => {})"
    ends = every.format("main svg", "e.getBoundingClientRect().right")
    assert max(page.evaluate(ends)) <= 720
    hidden = every.format(".scroll", "e.scrollHeight - e.clientHeight")
    assert max(page.evaluate(hidden)) <= 1


def test_columns_and_intervals_are_chosen(made, opened):
    page = opened(made, "ml-100k/ssb")
    assert "Gini @20" not in page.locator("#table thead").inner_text()
    page.get_by_text("Columns", exact=True).click()
    page.get_by_label(re.compile("^Gini of exposure @20")).check()
    assert len(column(page, "Gini @20")) == 4
    assert "[" not in column(page, "R@20")[0]
    page.get_by_label("intervals in the cells").check()
    assert re.search(r"\[0\.\d{4}, 0\.\d{4}\]", column(page, "R@20")[0])


def test_hover_and_focus_tell_the_interval_and_a_click_the_record(made, opened):
    page = opened(made, "ml-100k/temperature")
    cell = page.locator("#table tbody td button").first
    tip = page.locator("#tip")
    assert not tip.is_visible()
    cell.hover()
    assert re.search(
        r"in-batch, temperature 0\.05: .*\[.*\], 3 seeds", tip.inner_text()
    )
    page.mouse.move(0, 0)
    assert not tip.is_visible()
    cell.focus()
    assert tip.is_visible()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    text = dialog.inner_text()
    assert "records/ml-100k/temperature.npz" in text
    assert re.search(r"seed 1\s+0\.\d{6} \(row 1 of the file\)", text)
    assert re.search(r"SHA-256\s+[0-9a-f]{64}", text)
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_axes_are_chosen_and_points_tell(made, opened):
    page = opened(made, "ml-100k/temperature")
    figure = page.locator("#trade-off .vega-embed")
    assert "recall@20 against popularity (ARP)" in figure.get_attribute("aria-label")
    page.locator("#trade-off").get_by_label("horizontal axis").select_option(
        "coverage@20"
    )
    drawn = "document.querySelector('#trade-off figure > div').ariaLabel"
    page.wait_for_function(f"/against coverage/.test({drawn})")
    titles = figure.locator(".role-axis-title").all_text_contents()
    assert "coverage @20" in " ".join(titles)
    points = page.locator(POINTS)
    assert points.count() == 12
    assert page.locator("#trade-off .mark-line path").count() >= 3  # a curve an arm
    assert "0.5" in page.locator("#trade-off .mark-text.role-mark").first.text_content()
    points.first.hover()
    shown = page.locator("#vg-tooltip-element.visible")
    shown.wait_for()
    assert "in-batch, temperature 0.05" in shown.inner_text()
    points.first.click()
    assert page.get_by_role("dialog").is_visible()


@pytest.mark.parametrize(
    ("metric", "k"),
    [("recall", 20), ("ndcg", 100), ("recall_tail", 20), ("coverage", 20)],
)
def test_differences_are_those_of_the_contrasts(made, opened, metric, k):
    page, rows = opened(made, "ml-100k/ssb"), rows_of_evil()
    section = page.locator("#differences")
    section.get_by_label("metric", exact=True).select_option(f"{metric}@{k}")
    section.locator("summary").click()
    arms = list(dict.fromkeys(row.arm for row in rows))
    for reference in arms:
        section.get_by_label("reference", exact=True).select_option(label=reference)
        shown = {
            name: numbers(values)
            for name, *values in zip(
                *(
                    column(page, c, "#differences")
                    for c in ("arm", "difference", "from", "to")
                )
            )
        }
        assert set(shown) == set(arms) - {reference}
        digits = 3 if metric in ("coverage", "recall_tail") else 4
        for arm, values in shown.items():
            expected = paired(rows, arm, reference, metric, k)
            assert values == pytest.approx(expected[:3], abs=0.51 * 10**-digits)


def test_the_reference_may_be_an_arm_at_the_same_swept_value(made, opened):
    page, rows = opened(made, "ml-100k/temperature"), swept_rows()
    section = page.locator("#differences")
    section.get_by_label("reference", exact=True).select_option(
        label="full-softmax, at the same swept value"
    )
    section.locator("summary").click()
    names, low = (column(page, c, "#differences") for c in ("arm", "from"))
    assert len(names) == 8
    for name, end in zip(names, numbers(low)):
        arm, temperature = name.split(", temperature ")
        at = {"temperature": float(temperature)}
        expected = paired(rows, arm, "full-softmax", at=at)
        assert end == pytest.approx(expected.low, abs=0.51e-4)
    verdicts = set(column(page, "verdict", "#differences"))
    assert verdicts <= {"higher", "lower", "interval contains 0"}


def test_bands_and_curves(made, opened):
    page = opened(made, "ml-100k/temperature")
    bars = page.locator("#popularity .mark-rect.role-mark path")
    assert bars.count() == 36  # 12 rows in three bands
    lines = page.locator("#learning-curves .mark-line path")
    assert lines.count() == 12
    choice = page.get_by_label("slices", exact=True)
    assert "tenths" not in choice.inner_text()
    page = opened(made, "ml-100k/ssb")
    page.get_by_label("slices", exact=True).select_option("50")
    page.wait_for_function(
        "/Recall@50/.test(document.querySelector('#popularity figure > div').ariaLabel)"
    )
    assert "no training curves" in page.locator("#learning-curves").inner_text()


def test_two_users_lists_are_compared(made, opened):
    page = opened(made, "ml-100k/ssb")
    section = page.locator("#two-users")
    assert "share 1 of 3" in section.inner_text()
    dots = [section.inner_text().count(f"• Heat{end}") for end in ("", " ✓ held out")]
    assert dots == [2, 2]  # not of other films with that title
    assert EVIL in section.inner_text()
    section.get_by_label("right", exact=True).select_option(label="full-softmax")
    text = section.inner_text()
    assert "no list was kept" in text
    record = made_rows()[6].record
    user = int(re.search(r"Row (\d+) of the users", text)[1])
    start = record.held[:user].sum()
    ranks = record.rank[start : start + record.held[user]].astype(int)
    places = [str(rank + 1) for rank in sorted(ranks) if rank < 100]
    assert f"{len(places)} of {len(ranks)}: at {', '.join(places)}" in text


def test_markup_stays_text(made, opened):
    page = opened(made, "ml-100k/ssb")
    assert page.locator("h2").first.inner_text() == EVIL
    page.locator(POINTS).last.hover()
    page.locator("#vg-tooltip-element.visible").wait_for()
    page.locator("#table tbody td button").last.click()
    assert EVIL in page.get_by_role("dialog").inner_text()
    assert page.evaluate("window.evil") is None
    assert page.locator("main img").count() == 0


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_as_wide_as_the_screen_and_readable(made, opened, width):
    page = opened(made, "ml-100k/temperature", width)
    page.wait_for_selector("#learning-curves svg")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = f"{LEAVES}.map((e) => parseFloat(getComputedStyle(e).fontSize))"
    assert min(page.evaluate(sizes)) >= 10
    fields = "[...document.querySelectorAll('select, input')]"
    assert page.evaluate(f"{fields}.every((e) => e.labels.length)")
    assert page.locator("figure > div:not([aria-label])").count() == 0


def test_all_committed_records(opened, tmp_path):
    for folder in ("records", "tables"):
        shutil.copytree(RESULTS / folder, tmp_path / folder)
    path, holes = explore(tmp_path)
    assert holes == []
    assert path.stat().st_size <= 3_000_000
    for section in ("ml-100k/ssb", "ml-100k/losses", "ml-1m/baselines"):
        page = opened(path, section)
        page.wait_for_selector("#differences svg")
    page = opened(path, "ml-100k/ssb")
    metrics = column(page, "metric", "main > .scroll")
    assert "factor in recall@100, less that at 10" in metrics
    page = opened(path, "ml-100k/tuning")
    page.wait_for_selector("text=rows have too many pairs")
    axes = page.locator("#trade-off select")
    assert axes.nth(0).input_value() != axes.nth(1).input_value()
    assert page.locator("#differences").count() == 0
    paints = page.evaluate(
        "performance.getEntriesByType('paint').map((e) => e.startTime)"
    )
    assert max(paints) < 2000  # milliseconds
    page = opened(path, "ml-100k/pace")
    assert page.locator("text=What came of the prediction").count() == 1
    infinite = page.locator("td.number >> text=∞")
    assert infinite.count() > 0  # of an arm that never gets there
    names = page.locator("#choice option").count()
    assert names == len(list((RESULTS / "records").glob("*/*.npz")))
    with pytest.raises(InputError, match="of probe-of-none"):
        explore(tmp_path, ["probe-of-none"])
