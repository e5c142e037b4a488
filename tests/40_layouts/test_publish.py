# SPDX-License-Identifier: Apache-2.0
"""Statistics against numpy on whole arrays; card, deviations, checksums and report of a small tree."""

import base64
import hashlib
import io
import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from made.patches import utm_geobox, write_stack
from made.results import make_tree
from terrapatch.errors import IncompleteError, StorageError
from terrapatch.files import write_json
from terrapatch.layouts import layouts
from terrapatch.legend import Level, load_legend
from terrapatch.publish import charts, drawing, maps, pictures, publish, report
from terrapatch.publish.deviations import changes
from terrapatch.publish.facts import reasons_of
from terrapatch.publish.quicklooks import _best_date, choose
from terrapatch.publish.statistics import PERCENTILES, class_weights, joined, summarise, tally
from terrapatch.samples import Batch
from terrapatch.stacks import open_stack
from terrapatch.tables import read_geoparquet, write_geoparquet

PUBLISHED_RECIPE = {
    "publish": {
        "title": "Tiny & <small>", "quicklooks": 4, "authors": ["A. Person"],
        "deviations": ["Edges are ours."], "reference_licence": "Map: CC-BY-4.0",
    },
    "published": {"layers": {"sentinel2": {"harmonise": False}}, "splits": {"method": "published"}},
}  # fmt: skip


def run_publish(tree, threads=1):
    publish(tree.built(), tree.settings("publish"), threads=threads)


def run_report(tree, output, metrics=None, predictions=None):
    none = output.parent / "none"
    built = tree.built(metrics=metrics or none, predictions=predictions or none)
    report(built, tree.settings("publish"), output)
    return output.read_text(encoding="utf-8")


def make_published(root, **changes):
    tree = make_tree(root, recipe=PUBLISHED_RECIPE | changes)
    layouts(tree.built(), tree.settings("layouts"), Path(tree.results.dataset))
    run_publish(tree)
    return tree


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return make_published(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def statistics(tree):
    return json.loads(Path(tree.results.statistics).read_text("utf-8"))


def training_files(tree, folder):
    """Metrics and predictions in the form of the training stage; one pixel in five is wrong."""
    level = load_legend("cerradata4mm").level("l1")
    names = [entry.name for entry in level.classes]
    ids = tree.kept.loc[tree.kept["split"] == "test", "patch_id"].tolist()
    truth = np.stack([tree.pixels["label"][name][1] for name in ids])
    guess = truth.copy()
    guess[:, ::5] = 0
    matrix = np.zeros((7, 7), int)
    np.add.at(matrix, (truth.ravel(), guess.ravel()), 1)
    model = {
        "macro_f1": 0.71, "miou": 0.6, "overall_accuracy": 0.8,
        "macro_f1_truth_or_predicted": 0.613, "miou_truth_or_predicted": 0.517,
        "classes_with_truth": [n for n in names if n != names[3]],
        "classes_predicted_alone": [names[3]],
        "per_class": {name: {"f1": 0.5, "iou": 0.4, "support": 100} for name in names},
        "confusion": matrix.tolist(),
        "baselines": {"majority": {"macro_f1": 0.1, "miou": 0.05},
                      "shuffled": {"macro_f1": 0.12, "miou": 0.06}},
        "margin": {"macro_f1": 0.59, "miou": 0.54}, "passed": True,
    }  # fmt: skip
    model["per_class"][names[3]] = {"f1": None, "iou": None, "support": 0}
    skipped = {"skipped": "PyTorch is not installed"}
    write_json(
        folder / "metrics.json",
        {"level": "l1", "target": "label", "classes": names, "models": {"forest": model, "unet": skipped},
         "passed": True},
    )  # fmt: skip
    np.savez(folder / "predictions.npz", patch_ids=np.array(ids), truth=truth, forest=guess)
    return folder / "metrics.json", folder / "predictions.npz"


# Statistics


def train_pixels(tree, modality, band):
    names = tree.kept.loc[tree.kept["split"] == "train", "patch_id"]
    return np.concatenate([tree.pixels[modality][name][band].ravel() for name in names])


@pytest.mark.parametrize("modality", ["sentinel2", "sentinel1"])
def test_figures_of_the_train_split_are_those_of_numpy_on_all_its_pixels(
    tree, statistics, modality
):
    figures = statistics["layers"][modality]
    for number, _ in enumerate(figures["bands"]):
        values = train_pixels(tree, modality, number).astype(np.float64)
        logs = np.log(np.maximum(values, 1e-6))
        wanted = {
            "mean": values.mean(), "std": values.std(), "min": values.min(), "max": values.max(),
            "log_mean": logs.mean(), "log_std": logs.std(), "pixels": values.size,
        }  # fmt: skip
        for key, value in wanted.items():
            assert figures[key][number] == pytest.approx(value, rel=6e-9), key
        for q in PERCENTILES:
            exact = modality == "sentinel2"
            assert figures["percentiles"][str(q)][number] == pytest.approx(
                np.percentile(values, q), rel=1e-12 if exact else 2e-3
            )


def test_val_and_test_pixels_do_not_touch_the_figures(tree, statistics, tmp_path):
    other = make_tree(tmp_path / "tree", recipe=PUBLISHED_RECIPE)
    table = other.table
    held = table["split"].isin(["val", "test"])
    # Held-out patches that become unsplit change nothing but the class counts.
    table.loc[held, "split"] = None
    write_geoparquet(table, other.results.manifest)
    layouts(other.built(), other.settings("layouts"), Path(other.results.dataset))
    run_publish(other)
    found = json.loads(Path(other.results.statistics).read_text("utf-8"))
    assert statistics["layers"] == found["layers"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 65535), min_size=1, max_size=200))
def test_whole_numbers_are_exact(values):
    data = np.array(values, np.uint16).reshape(1, 1, 1, 1, -1)
    (found,) = summarise(tally(data, np.ones(data.shape[:2] + data.shape[3:], np.uint8)))
    truth = np.array(values, np.float64)
    assert found.percentiles == pytest.approx(np.percentile(truth, PERCENTILES), abs=1e-9)
    assert found.mean == pytest.approx(truth.mean(), rel=1e-15)
    assert found.std == pytest.approx(truth.std(), rel=1e-9, abs=1e-9)
    assert (found.min, found.max) == (truth.min(), truth.max())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-32_768, 32_767), min_size=1, max_size=60))
def test_negative_whole_numbers_are_exact_too(values):
    data = np.array(values, np.int16).reshape(1, 1, 1, 1, -1)
    source = np.ones((1, 1, 1, len(values)), np.uint8)
    (found,) = summarise(joined(tally(data, source), tally(data, source)))
    twice = np.array(values * 2, float)
    assert found.mean == pytest.approx(twice.mean(), rel=1e-12, abs=1e-9)
    assert found.std == pytest.approx(twice.std(), rel=1e-9, abs=1e-6)
    assert (found.min, found.max) == (twice.min(), twice.max())
    np.testing.assert_allclose(found.percentiles, np.percentile(twice, PERCENTILES), atol=1e-9)


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=200))
def test_percentiles_of_floats_lie_within_their_bins(values):
    data = np.array(values, np.float32).reshape(1, 1, 1, 1, -1)
    (found,) = summarise(tally(data, np.ones((1, 1, 1, data.size), np.uint8)))
    ordered = np.sort(np.array(values))
    for q, got in zip(PERCENTILES, found.percentiles, strict=True):
        place = q / 100 * (data.size - 1)
        low, high = ordered[int(np.floor(place))], ordered[int(np.ceil(place))]
        assert low - abs(low) * 2e-3 - 1e-37 <= got <= high + abs(high) * 2e-3 + 1e-37


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-10, 1e6, width=32), min_size=1, max_size=100))
def test_logarithms_are_those_of_clipped_values(values):
    data = np.array(values, np.float32).reshape(1, 1, 1, 1, -1)
    (found,) = summarise(tally(data, np.ones((1, 1, 1, data.size), np.uint8)))
    logs = np.log(np.maximum(data.astype(np.float64), 1e-6))
    assert found.log_mean == pytest.approx(
        logs.mean(), abs=2e-3 if np.any(abs(data) < 1.1e-6) else 2e-8
    )
    assert found.log_std == pytest.approx(
        logs.std(), abs=1e-2 if np.any(abs(data) < 1.1e-6) else 1e-5
    )


def test_missing_pixels_and_nan_are_not_counted():
    data = np.array([1.0, 2.0, 1000.0, np.nan], np.float32).reshape(1, 1, 1, 2, 2)
    source = np.array([1, 7, 0, 1], np.uint8).reshape(1, 1, 2, 2)
    (found,) = summarise(tally(data, source))
    assert (found.pixels, found.mean, found.std, found.max) == (2, 1.5, 0.5, 2.0)
    (found,) = summarise(tally(np.nan_to_num(data).astype(np.uint16), source))
    assert (found.pixels, found.min, found.max) == (3, 0.0, 2.0)


def test_two_tallies_joined_are_the_tally_of_both():
    rng = np.random.default_rng(3)
    data = rng.normal(-12, 5, (6, 2, 3, 8, 8)).astype(np.float32)
    source = rng.integers(0, 2, (6, 2, 8, 8)).astype(np.uint8)
    whole = summarise(tally(data, source))
    parts = summarise(joined(tally(data[:2], source[:2]), tally(data[2:], source[2:])))
    for one, both in zip(whole, parts, strict=True):
        assert one.percentiles == both.percentiles
        assert one.mean == pytest.approx(both.mean, rel=1e-13)


def test_a_band_without_pixels_is_an_error():
    with pytest.raises(IncompleteError, match="no observed pixel"):
        summarise(tally(np.zeros((1, 1, 1, 2, 2), np.uint16), np.zeros((1, 1, 2, 2), np.uint8)))


def test_class_counts_per_split_are_those_of_the_label_rasters(tree, statistics):
    for number, name in enumerate(("l2", "l1")):
        figures = statistics["classes"]["label"][name]
        for split in ("train", "val", "test"):
            ids = tree.kept.loc[tree.kept["split"] == split, "patch_id"]
            pixels = np.concatenate([tree.pixels["label"][i][number].ravel() for i in ids])
            counts = np.bincount(pixels, minlength=256)[figures["codes"]]
            assert figures["pixels"][split] == counts.tolist()


def test_weights_are_inverse_frequencies_over_the_largest():
    assert class_weights([100, 50, 0, 25]) == [0.25, 0.5, 0.0, 1.0]
    assert class_weights([0, 0]) == [0.0, 0.0]


def test_an_empty_train_split_is_an_error(tmp_path):
    tree = make_tree(tmp_path)
    table = tree.table.assign(split="test")
    write_geoparquet(table, tree.results.manifest)
    layouts(tree.built(), tree.settings("layouts"), Path(tree.results.dataset))
    with pytest.raises(IncompleteError, match="train split"):
        run_publish(tree)


# Checksums, card, deviations


def test_checksums_are_those_of_hashlib_and_name_every_file_but_their_own(tree):
    folder = Path(tree.results.dataset)
    lines = (folder / "SHA256SUMS").read_text("utf-8").splitlines()
    listed = dict(reversed(line.split("  ")) for line in lines)
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    assert sorted(listed) == sorted(set(files) - {"SHA256SUMS"})
    assert list(listed) == sorted(listed)
    for name, digest in listed.items():
        assert hashlib.sha256(files[name].read_bytes()).hexdigest() == digest, name


def test_sha256sum_itself_agrees(tree):
    done = subprocess.run(
        ["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tree.results.dataset, check=False
    )  # fmt: skip
    assert done.returncode == 0


def test_the_card_has_a_head_that_machines_read(tree):
    text = (Path(tree.results.dataset) / "README.md").read_text("utf-8")
    _, head, body = text.split("---\n", 2)
    data = yaml.safe_load(head)
    assert data["license"] == "cc-by-4.0"
    assert data["task_categories"] == ["image-segmentation"]
    assert data["size_categories"] == ["n<1K"]
    assert data["pretty_name"] == "Tiny & <small>"
    for heading in ("How it was made", "Layout", "Classes", "Splits", "Statistics", "Known deviations",
                    "Sources and licences", "Citation"):  # fmt: skip
        assert re.search(rf"^## {heading}", body, re.M), heading


def test_the_card_says_what_happened_to_offsets_and_names_the_deviations(tree):
    text = (Path(tree.results.dataset) / "README.md").read_text("utf-8")
    for part in ("04.00 (offset -1000)", "10000 × reflectance", "`splits.method: published`", "`layers.sentinel2.harmonise: false`",
                 "Edges are ours.", "Reference maps and vectors are simulated", "A. Person", "All imagery is simulated",
                 "| 13 | Deforestation 2022 | `#cd0000` | Agriculture |"):  # fmt: skip
        assert part in text
    # Whoever makes the map has no part in a simulated one, whatever the recipe would credit.
    assert "Map: CC-BY-4.0" not in text
    assert "Contains modified Copernicus" not in text


def test_tables_of_the_card_have_as_many_cells_in_every_row(tree):
    text = (Path(tree.results.dataset) / "README.md").read_text("utf-8")
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        assert len({line.count("|") for line in block.splitlines()}) == 1, block


def test_real_scenes_get_the_notice_of_copernicus(tree, tmp_path):
    lock = json.loads(Path(tree.results.lock).read_text("utf-8"))
    lock["source"] = "local"
    (tmp_path / "lock.json").write_text(json.dumps(lock), "utf-8")
    r = tree.results
    built = tree.built(lock=tmp_path / "lock.json", deviations=tmp_path / "deviations.json")
    publish(built, tree.settings("publish"))
    text = (Path(r.dataset) / "README.md").read_text("utf-8")
    assert "Contains modified Copernicus Sentinel data [2022]." in text
    assert "Map: CC-BY-4.0" in text
    assert "Simulated" not in text
    run_publish(tree)


def test_published_settings_become_a_flat_list():
    assert changes({"b": {"y": 1, "x": [2]}, "a": False}) == [
        {"setting": "a", "value": False},
        {"setting": "b.x", "value": [2]},
        {"setting": "b.y", "value": 1},
    ]


def test_deviations_compare_counts_shares_and_values(tree, statistics):
    found = json.loads(Path(tree.results.deviations).read_text("utf-8"))
    assert found["changes"][0] == {"setting": "layers.sentinel2.harmonise", "value": False}
    assert not found["published_in_force"]
    rows = {row["what"]: row for row in found["comparison"]}
    assert (rows["patches"]["published"], rows["patches"]["ours"]) == (30291, 23)
    assert rows["patches"]["difference"] == 23 - 30291
    assert rows["sentinel2 bands"]["verdict"] == "equal"
    assert rows["l2 Pasture, % of pixels"]["published"] == pytest.approx(35.247, abs=5e-4)
    assert rows["l1 Arboreal, % of pixels"]["published"] == pytest.approx(58.434, abs=5e-4)
    mean = statistics["layers"]["sentinel2"]["mean"][0]
    row = rows["sentinel2 B01 mean"]
    assert row["published"] == 1331.30
    assert row["ours"] == pytest.approx(mean, abs=1e-4)
    off = 100 * (mean + 1000 - 1331.30) / 1331.30
    assert row["verdict"] == f"{off:+.1f} % once the +1000 offset of the published values is added"
    assert "not comparable" in rows["sentinel1 VV mean"]["verdict"]


def test_other_layouts_have_nothing_to_compare_with(tmp_path):
    tree = make_published(tmp_path, layouts={"name": "native"})
    found = json.loads(Path(tree.results.deviations).read_text("utf-8"))
    assert found["comparison"] == []
    card = (Path(tree.results.dataset) / "README.md").read_text("utf-8")
    assert "label.zarr" in card


def test_reasons_lose_the_figures_of_single_patches():
    text = "sentinel2: 91.3 % observed < 100 %; label: 4.0 % observed < 50 %"
    assert reasons_of(text, {"sentinel2": "Sentinel-2", "label": "Label"}) == [
        "Sentinel-2: less than 100 % observed", "Label: less than 50 % observed",
    ]  # fmt: skip
    text = "overlap: shows ground of 32ULV_0_257"
    assert reasons_of(text, {}) == ["overlap: shows ground of a patch of another tile"]
    assert reasons_of("over the sea", {}) == ["over the sea"]
    assert reasons_of(None, {}) == ["no reason recorded"]


def test_bytes_of_publish_do_not_depend_on_threads_or_on_the_run(tmp_path):
    found = []
    for number, threads in enumerate((1, 3)):
        tree = make_tree(tmp_path / str(number), recipe=PUBLISHED_RECIPE)
        layouts(tree.built(), tree.settings("layouts"), Path(tree.results.dataset), threads=threads)
        run_publish(tree, threads)
        files = training_files(tree, tmp_path)
        page = run_report(tree, Path(tree.results.report), *files)
        sums = Path(tree.results.checksums).read_text("utf-8")
        found.append((sums, Path(tree.results.deviations).read_bytes(), page))
    assert found[0] == found[1]


# Pictures and charts


def test_a_png_is_what_another_reader_sees():
    image = np.random.default_rng(0).integers(0, 256, (7, 5, 3)).astype(np.uint8)
    read = matplotlib.image.imread(io.BytesIO(pictures.encode_png(image)), format="png")
    np.testing.assert_array_equal(image, (read * 255).round().astype(np.uint8)[:, :, :3])


def test_labels_are_painted_in_the_colours_of_the_legend():
    level = load_legend("cerradata4mm").level("l1")
    painted = pictures.label_picture(np.array([[0, 5], [255, 2]], np.uint8), level)
    assert painted[0].tolist() == [[0xCE, 0xEF, 0x62], [0x13, 0x32, 0xFF]]
    assert painted[1, 0].tolist() == [214, 218, 224]


def test_missing_pixels_are_grey_and_others_run_from_black_to_white():
    layer = np.array([[[0.0, 5.0, 10.0, np.nan]]])
    image = pictures.colour(layer, np.array([[0.0, 10.0]]))
    assert image[0].tolist() == [[0] * 3, [128] * 3, [255] * 3, [214, 218, 224]]


def test_radar_is_shown_in_decibels_with_the_ratio():
    layer = np.array([[[0.1]], [[0.01]]], np.float32)
    np.testing.assert_allclose(
        pictures.radar(layer, decibel=False)[:, 0, 0], [-10, -20, 10], atol=1e-5
    )
    assert np.isnan(pictures.radar(np.zeros((2, 1, 1)), decibel=False)).all()
    assert pictures.radar(np.full((1, 1, 1), -7.0), decibel=True).item() == -7.0


def test_errors_are_shown_where_they_are():
    level = Level("l1", load_legend("cerradata4mm").level("l1").classes)
    image = pictures.error_picture(
        np.array([[1, 1, 255]], np.uint8), np.array([[1, 5, 5]], np.uint8), level
    )
    assert image[0].tolist() == [[247, 248, 250], [0x13, 0x32, 0xFF], [214, 218, 224]]


def test_quick_looks_show_rare_classes_first_then_spread():
    present = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]], bool)
    places = np.array([[0, 0], [1, 0], [2, 0], [3, 0], [100, 0]], float)
    assert choose(present, places, 2) == [2, 3]
    assert choose(present, places, 3) == [2, 3, 4]
    assert choose(present, places, 9) == [0, 1, 2, 3, 4]
    assert choose(present, places, 0) == []


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (-48.1, -48.0, [-48.1, -48.08, -48.06, -48.04, -48.02, -48]),
     (0.3, 0.7, [0.3, 0.4, 0.5, 0.6, 0.7])],
)  # fmt: skip
def test_ticks_are_round_numbers(low, high, wanted):
    assert drawing.ticks(low, high) == pytest.approx(wanted)


def test_the_map_keeps_the_proportions_of_the_ground():
    # Two patches side by side at 60° north: a degree of longitude is half one of latitude.
    def square(west):
        return [(west, 60), (west + 2, 60), (west + 2, 61), (west, 61)]

    svg = str(maps.patch_map([maps.Group("a", "#000000", [square(0), square(2)])], "t"))
    corners = re.findall(r"([\d.]+) ([\d.]+)", re.search(r'<path d="M([^"]+?)Z', svg)[1])
    xs, ys = zip(*[(float(x), float(y)) for x, y in corners], strict=True)
    assert (max(xs) - min(xs)) / (max(ys) - min(ys)) == pytest.approx(0.985, abs=0.01)


def test_text_in_charts_is_escaped():
    entry = {"name": "<b>&", "color": "#000000", "shares": {"train": 1.0}}
    svg = str(charts.class_bars([entry], ["train"], 'a "title"', logarithmic=True))
    assert "<b>" not in svg
    assert "&lt;b&gt;&amp;" in svg


# Report


class Page(HTMLParser):
    """Collects what the tests ask about; fails on tags that do not close."""

    VOID = ("meta", "img", "br", "input", "link", "line", "circle")

    def __init__(self, text):
        super().__init__()
        self.open, self.images, self.references, self.ids, self.links = [], [], [], set(), []
        self.text = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag not in self.VOID or (tag in ("rect", "path") and not self.at_end()):
            self.open.append(tag)
        if tag == "img":
            self.images.append(found)
        if tag == "a":
            self.links.append(found["href"])
        self.references += [found[k] for k in ("src", "href", "data", "srcset") if k in found]
        self.ids |= {found["id"]} if "id" in found else set()

    def at_end(self):
        return self.get_starttag_text().endswith("/>")

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def page_text(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    return run_report(tree, folder / "index.html", *training_files(tree, folder))


def test_the_report_is_well_formed_and_needs_nothing_from_outside(page_text):
    page = Page(page_text)
    assert page.references
    assert all(ref.startswith(("data:image/png;base64,", "#")) for ref in page.references)
    assert {link[1:] for link in page.links} <= page.ids
    assert "url(" not in page_text
    assert "@import" not in page_text
    assert "<script" not in page_text
    assert "http" not in re.sub(r'base64,[^"]+', "", page_text)


def test_the_report_has_a_picture_with_words_for_each_thing_to_see(page_text):
    page = Page(page_text)
    # 4 quick looks of 7 pictures, 3 test patches of 4.
    assert len(page.images) == 4 * 7 + 3 * 4
    for image in page.images:
        assert len(image["alt"]) > 10
        png = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
        shape = matplotlib.image.imread(io.BytesIO(png), format="png").shape
        assert shape[:2] == (32, 32)


def test_the_report_says_what_a_person_asks(tree, page_text):
    text = " ".join(Page(page_text).text)
    for part in ("23", "of 24 placed", "Sentinel-2: less than 100 % observed", "too few patches",
                 "cloud 81 % > 60 %", "older baseline of <one>", "Tiny & <small>", "320 m",
                 "PyTorch is not installed", "0.710", "Edges are ours.", "30,291"):  # fmt: skip
        assert part in text, part
    assert "<small>" not in page_text


def test_the_report_without_training_says_so(tree, tmp_path):
    page = run_report(tree, tmp_path / "index.html", tmp_path / "none.json", tmp_path / "none.npz")
    assert "No model was trained" in page
    Page(page)


def test_the_report_says_why_nothing_was_validated_and_over_what_scores_are(
    tree, tmp_path, page_text
):
    write_json(
        tmp_path / "metrics.json",
        {"models": {}, "passed": False, "required": False, "skipped": "no patch in the split"},
    )
    np.savez(tmp_path / "predictions.npz", patch_ids=np.array([], str), truth=np.zeros((0, 0, 0)))
    page = run_report(tree, tmp_path / "i.html", *(tmp_path / n for n in ("metrics.json", "predictions.npz")))  # fmt: skip
    assert "Nothing was validated: no patch in the split" in page
    Page(page)
    text = " ".join(Page(page_text).text)
    assert "Means are over the 6 classes with truth" in text
    assert "predicted but nowhere true, they are 0.613 and 0.517" in text


def test_the_report_before_publish_says_what_to_run(tmp_path):
    tree = make_tree(tmp_path)
    layouts(tree.built(), tree.settings("layouts"), Path(tree.results.dataset))
    with pytest.raises(StorageError, match="terrapatch publish"):
        run_report(tree, tmp_path / "index.html")


def test_damaged_predictions_are_named(tree, tmp_path):
    metrics, predictions = training_files(tree, tmp_path)
    predictions.write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(StorageError, match=r"predictions\.npz"):
        run_report(tree, tmp_path / "index.html", metrics, predictions)


def test_the_report_shows_the_dataset_of_a_single_modality(tmp_path):
    tree = make_tree(tmp_path, recipe={"layouts": {"name": "native"}, "images": ["sentinel2"]})
    layouts(tree.built(), tree.settings("layouts"), Path(tree.results.dataset))
    run_publish(tree)
    page = run_report(tree, Path(tree.results.report))
    assert len(Page(page).images) == 6 * 6
    assert read_geoparquet(Path(tree.results.dataset) / "patches.parquet").shape[0] == 23


def test_quick_looks_of_a_series_show_whole_dates_of_middling_brightness(tmp_path):
    """A cloud is bright, winter dark, and a date that breaks off shows less."""
    geobox = utm_geobox((16, 16))
    levels = {"winter": 100, "broken": 480, "summer": 500, "cloud": 9000}
    data = np.stack([np.full((1, 2, 16, 16), v, "uint16") for v in levels.values()], axis=1)
    source = np.ones((1, 4, 16, 16), "uint8")
    source[0, 1, :3] = 0
    write_stack(
        tmp_path / "s.zarr", geobox, ["a"], data=data, source=source,
        items=[[name] for name in levels],
    )  # fmt: skip
    one = np.array([0])
    batch = Batch("u1", one, one, 16)
    stack = open_stack(tmp_path / "s.zarr")
    data, steps = _best_date(stack, batch, np.ones((1, 4), bool))
    assert (data == 500).all()
    assert steps.tolist() == [2]
    # A date that is not published is not shown, however good it looks.
    data, _ = _best_date(stack, batch, np.array([[True, True, False, True]]))
    assert (data == 100).all()
