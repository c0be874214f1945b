"""One knob in two places: what is compared, and verdicts that follow the records."""

import numpy as np
import pytest

import experiments.studies.strength as strength
from experiments.kit import Data
from experiments.loaded import prepared_run
from experiments.serve import metric_means, rank, serve
from research.config import Config
from research.files import write_arrays
from research.report.pictures import look
from research.report.predictions import statements
from research.report.records import Stored, study_header
from research.serving import Serving
from research.train.loop import train
from tests.experiments.made import SMALL, write_made_100k
from tests.studies.made import page_of

TEMPERATURES, LAMBDAS = (0.1, 0.3), (0.0, 0.5, 1.0)
TOTALS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)


def stored(apart=0.0, best=1.0, item_best=0.75, rated_best=0.25, serving=0.02):
    """Records in which each curve peaks where it is told to.

    Args:
      apart: of lambda 0 and lambda 1 at the small temperature, at equal totals.
      best: the total with the highest recall.
      item_best: the one with the highest item-averaged recall.
      rated_best: the one with the highest area.
      serving: what lambda 0 is above lambda 1 by, at the large temperature.
    """
    draw = np.random.default_rng(0)
    users = draw.uniform(0.2, 0.3, 30)
    noise = draw.normal(0, 1e-4, (2, 1, 30))

    def curve(at):
        height = 0.1 - 0.1 * np.abs(np.array(TOTALS) - at)
        cell = height[:, None] + users
        return np.broadcast_to(cell, (1, 2, 3, 2, 7, 30)) + noise

    recall = curve(best).copy()
    shift = np.array([1.0, 0.5, 0.0])[:, None, None, None]
    recall[0, 0] += apart * shift
    recall[0, 1] += serving * shift
    arrays = {
        "recall_20": recall,
        "recall_100": recall + 0.2,
        "recall_item_20": curve(item_best),
        "area": curve(rated_best),
        "temperatures": np.array(TEMPERATURES),
        "lambdas": np.array(LAMBDAS),
        "totals": np.array(TOTALS),
    }
    header = study_header("strength", "made", False, "0" * 64, outputs=["cosine"])
    return Stored(header, {}, arrays)


def with_clicked(apart=0.001, wide=0.2, all_items=0.04):
    """Records of both kinds of lists: how far lambda 0 and 1 are apart in each.

    Args:
      apart: at the small temperature, without unclicked items.
      wide: at the large one.
      all_items: at the small one, with all items.
    """
    records, clicked = stored(all_items), stored(apart, serving=wide)
    for name in ("recall_20", "recall_item_20"):
        records.arrays[f"clicked_{name}"] = clicked.arrays[name]
    return records


def read(records):
    return Data.of(records, strength.AXES)


def verdicts(records):
    return strength.verdicts(read(records))


def found(records):
    return [row[2] for row in verdicts(records)]


def at(records, output="cosine", temperature=0.2):
    """What is derived from records at one place."""
    return strength.derive(read(records)).at(output=output, temperature=temperature)


def test_records_as_predicted_hold():
    assert found(stored()) == ["holds"] * 5


@pytest.mark.parametrize(
    ("changes", "fails"),
    [
        ({"apart": 0.01}, 0),
        ({"serving": 0.0}, 1),
        ({"best": 0.25}, 2),
        ({"item_best": 1.25}, 3),
        ({"rated_best": 1.5}, 4),
    ],
)
def test_a_record_against_the_prediction_changes_its_verdict_alone(changes, fails):
    expected = ["holds"] * 5
    expected[fails] = "fails"
    assert found(stored(**changes)) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["holds", "holds", "holds", "holds"]),
        ({"apart": 0.015}, ["holds", "holds", "fails", "holds"]),
        ({"apart": 0.015, "all_items": 0.02}, ["holds", "fails", "fails", "holds"]),
        ({"apart": 0.03}, ["fails", "fails", "fails", "holds"]),
        ({"apart": -0.015}, ["holds", "holds", "holds", "holds"]),
        ({"wide": 0.01}, ["holds", "holds", "holds", "fails"]),
    ],
)
def test_of_lists_without_unclicked_items_the_lines_are_one(changes, expected):
    records = with_clicked(**changes)
    rows = verdicts(records)
    assert [row[2] for row in rows if "clicked items listed" in row[0]] == expected


def test_a_run_judges_lists_with_and_without_unclicked_items(tmp_path):
    """At a total of 0 such items are in the lists of a model with log q in its loss."""
    data = str(write_made_100k(tmp_path / "made", items=230))
    run = prepared_run(Config(**SMALL, logq=1.0, fit_on="train"), data)
    done = train(run.config, run.fold)
    arrays = {"users": done.user_vectors, "items": done.item_vectors}
    write_arrays(tmp_path / "vectors.npz", arrays)
    found = strength.measured(run, tmp_path, TOTALS, data)
    rated, (users, items) = strength.rated_later(run, data), arrays.values()
    everything = slice(0, len(run.fold.evaluated)), slice(0, len(items))
    for n, total in enumerate(TOTALS):
        scorer = serve(run, users, items, serving=Serving(total - 1.0))
        scores = np.asarray(scorer(*everything))[rated.row, rated.item]
        np.testing.assert_allclose(
            found["area"][n], strength.area(scores, rated), atol=1e-6
        )
    new = run.fold.fitted.item_counts == 0
    assert new.any()
    for m, kind in enumerate(("", "clicked_")):
        scorer = serve(run, *arrays.values(), serving=Serving(-1.0, min_clicks=m))
        (mean,) = metric_means(run, scorer, ["recall"])
        assert found[f"{kind}recall_20"][0].mean() == pytest.approx(mean, abs=1e-6)
        assert np.isin(rank(run, scorer)[:, :20], np.flatnonzero(new)).any() == (m == 0)


def test_the_gap_is_between_lambdas_at_equal_totals():
    records = stored(apart=0.04)
    here = at(records, temperature=0.1)
    assert here["gap"].item() == pytest.approx(0.04, abs=1e-6)
    assert here["best_recall_20"].item() == 1.0
    frame = strength.strength_frame(read(records))
    row = frame[(frame["lambda"] == 0.5) & (frame.total == 1.25)].iloc[0]
    assert row.alpha == 0.75


def test_the_area_is_the_share_of_pairs_in_the_right_order():
    rated = strength.Rated(
        row=np.array([3, 3, 3, 8, 8, 8]),
        item=np.arange(6),
        liked=np.array([True, False, False, True, True, False]),
    )
    values = np.array([0.5, 0.1, 0.9, 0.3, 0.3, 0.3])
    np.testing.assert_allclose(strength.area(values, rated), [0.5, 0.5])
    np.testing.assert_allclose(strength.area(values + 9.0 * rated.liked, rated), 1.0)
    np.testing.assert_allclose(strength.area(values - 9.0 * rated.liked, rated), 0.0)


def test_a_large_data_set_has_fewer_runs():
    names = ("ml-100k", "ml-1m", "data/electronic", "data/movie", "data/gowalla")
    size = {
        name: np.prod([len(a) for a in strength.axes_of(name, False)[:3]])
        for name in names
    }
    assert list(size.values()) == [50, 6, 18, 4, 2]
    assert [len(axis) for axis in strength.axes_of("ml-100k", True)[:3]] == [1, 1, 2]


def moved(by, temperature=0.2, output="cosine", dataset="electronic", ripple=0.0):
    """Records in which the curve of lambda 1 is that of lambda 0, moved by a total.

    A ripple of its own keeps the two apart wherever it is moved to.
    """
    totals = np.arange(0.0, 2.51, 0.25)
    draw = np.random.default_rng(1)
    users = draw.uniform(0.05, 0.1, 40)
    recall = np.empty((1, 1, 2, 3, len(totals), len(users)))
    for m, at in enumerate((0.0, by)):
        height = 0.02 * np.sin(totals - at) + m * ripple * np.cos(4 * np.pi * totals)
        recall[0, 0, m] = height[:, None] + users
    arrays = {
        "recall_20": recall,
        "recall_item_20": recall,
        "temperatures": np.array([temperature]),
        "lambdas": np.array([0.0, 1.0]),
        "totals": totals,
    }
    header = study_header("strength", dataset, False, "0" * 64, outputs=[output])
    return Stored(header, {}, arrays)


@pytest.mark.parametrize("by", [-0.2, 0.0, 0.4, 0.9])
def test_the_shift_is_what_the_curve_was_moved_by(by):
    here = at(moved(by))
    assert here["shift"].interval().mean == pytest.approx(by, abs=0.03)
    assert here["after"].item() < 0.001
    assert here["before"].item() > 10 * here["after"].item() or by == 0.0


def test_the_shift_is_of_lists_without_unclicked_items_where_some_are_not_clicked():
    records = moved(0.9)
    records.arrays["clicked_recall_20"] = moved(0.2).arrays["recall_20"]
    assert at(records)["shift"].interval().mean == pytest.approx(0.2, abs=0.03)


def both_outputs(cosine, dot):
    """Records of both outputs, their curves moved by these."""
    records, other = moved(cosine), moved(dot, output="dot")
    for name in ("recall_20", "recall_item_20"):
        parts = records.arrays[name], other.arrays[name]
        records.arrays[name] = np.concatenate(parts)
    records.header["outputs"] = ["cosine", "dot"]
    return records


@pytest.mark.parametrize(
    ("cosine", "shown"), [(0.4, ["+0.40", "-0.20"]), (1.6, ["-0.20"])]
)
def test_a_figure_shows_by_how_much_each_output_is_shifted(cosine, shown):
    """Where the totals served show it."""
    records = both_outputs(cosine, -0.2)
    ((name, (figure, points)),) = strength.report_strength(records).drawings.items()
    assert (name, {*points.output}) == ("-outputs", {"cosine", "dot"})
    marks = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert [float(text) for text in marks] == pytest.approx(
        [float(text) for text in shown], abs=0.03
    )
    ends = [look("in-batch").colour, look("in-batch+logq").colour]
    assert all([line.get_color() for line in a.lines] == ends for a in figure.axes)


def test_a_shift_beyond_the_totals_served_is_a_dash(tmp_path):
    records = moved(0.9)
    for name in ("recall_20", "recall_item_20"):
        records.arrays[name] = records.arrays[name][..., :7, :]
    records.arrays["totals"] = records.arrays["totals"][:7]
    assert " | - | - | " in page_of(records, tmp_path)
    assert " | - | - | " not in page_of(moved(0.4), tmp_path)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (moved(0.3), ["holds", "holds"]),
        (moved(0.05), ["fails", "holds"]),
        (moved(0.3, ripple=0.004), ["holds", "fails"]),
        (moved(0.35, temperature=0.4), ["holds", "holds"]),
        (moved(0.2, temperature=0.4), ["fails", "holds"]),
        (moved(0.05, temperature=0.1), ["holds"]),
        (moved(0.3, temperature=0.1), ["fails"]),
        (moved(0.0, output="dot"), ["holds"]),
        (moved(0.3, output="dot"), ["fails"]),
        (moved(0.3, dataset="ml-1m"), []),
    ],
)
def test_verdicts_on_the_shift_follow_it(records, expected):
    rows = verdicts(records)
    assert [row[2] for row in rows if "shifted" in row[0]] == expected


@pytest.mark.parametrize(
    ("dataset", "outputs", "named"),
    [
        ("electronic", ["cosine", "dot"], True),
        ("electronic", ["cosine", "dot", "bounded"], False),
        ("movie", ["cosine", "dot"], False),  # nothing is predicted of them there
    ],
)
def test_bounded_vectors_are_named_where_they_are_predicted_and_not_run(
    dataset, outputs, named
):
    records = moved(0.3, dataset=dataset)
    records.header["outputs"] = outputs
    lacking = strength.report_strength(_as_many(records, outputs)).not_judged
    assert ("bounded dot products (not run here)" in lacking) == named
    assert "dot products (not run here)" not in lacking


def _as_many(records, outputs):
    """The same curves for each output."""
    for name in ("recall_20", "recall_item_20"):
        records.arrays[name] = np.concatenate([records.arrays[name]] * len(outputs))
    return records


def test_the_report_is_made_from_the_file_of_records_alone(tmp_path):
    records = stored()
    records.header["dataset"] = "ml-100k"
    page = page_of(records, tmp_path)
    assert "Prediction: With lambda the strength in the loss" in page
    assert any("AUC" in row[0] for row in statements(page))
    # positives alone: no ratings to compare, and no row on them
    del records.arrays["area"]
    page = page_of(records, tmp_path)
    assert not any("AUC" in row[0] for row in statements(page))
    assert "AUC of ratings, rated items only (not run here)" in page
    # with lists without unclicked items
    records = with_clicked()
    assert "| largest gap, clicked items listed |" in page_of(records, tmp_path)


PARTS = [*["train"] * 8, "validation", *["test"] * 3]


def write_shop(path, split):
    """Each of 30 users rates 12 films: (user, film) -> rating, and its turn."""
    draw = np.random.default_rng(0)
    rows = {
        (user, int(item)): (int(draw.integers(1, 6)), at)
        for user in range(30)
        for at, item in enumerate(draw.permutation(30)[:12])
    }
    more = {"ratio": ",timestamp", "random": "", "given": ",part"}[split]
    lines = [f"user,item,rating{more}"]
    for (user, item), (rating, at) in rows.items():
        end = {"ratio": f",{at}", "random": "", "given": f",{PARTS[at]}"}[split]
        lines.append(f"{user},{item},{rating}{end}")
    path.write_text("\n".join(lines) + "\n")
    return rows


@pytest.mark.parametrize("split", ["ratio", "random", "given"])
def test_films_that_are_compared_are_those_that_no_training_saw(split, tmp_path):
    """Likes held out, and dislikes after the last fitted like or of the test part."""
    path = tmp_path / "shop.csv"
    rows = write_shop(path, split)
    small = {**SMALL, "batch": 16}
    run = prepared_run(Config(**small, dataset=str(path), split=split))
    found, fold = strength.rated_later(run, None), run.fold
    tables = fold.fitted.users, fold.fitted.items
    users, items = (np.array(table.names).astype(int) for table in tables)

    def pairs(user, item):
        return set(zip(users[user].tolist(), items[item].tolist(), strict=True))

    fitted, held = (
        pairs(fold.fitted.user, fold.fitted.item),
        pairs(fold.held_user, fold.held_item),
    )
    known = {
        user: [rows[pair][1] for pair in fitted if pair[0] == user] for user in users
    }

    def unseen(user, at):
        if split == "given":
            return PARTS[at] == "test"
        return split == "random" or at > max(known[user])

    disliked = {
        (user, item)
        for (user, item), (rating, at) in rows.items()
        if user in users[fold.evaluated] and item in items
        if rating <= 3 and unseen(user, at)
    }
    both = {user for user, _ in held} & {user for user, _ in disliked}
    assert len(both) > 10
    of_user = fold.evaluated[found.row]
    for liked, wanted in ((True, held), (False, disliked)):
        part = found.liked == liked
        wanted = {pair for pair in wanted if pair[0] in both}
        assert pairs(of_user[part], found.item[part]) == wanted
