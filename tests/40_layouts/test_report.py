# SPDX-License-Identifier: Apache-2.0
"""What a person meets in the report and the card: whole labels, true counts, foreign names, phones."""

import base64
import hashlib
import json
import re
import struct
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from test_publish import Page, make_published, run_publish, run_report, training_files

from made.results import make_tree
from terrapatch.errors import StorageError
from terrapatch.files import write_json
from terrapatch.layouts import layouts
from terrapatch.lock import read_lock, write_lock
from terrapatch.publish import maps, pictures
from terrapatch.publish.drawing import digits, labels
from terrapatch.publish.facts import parted
from terrapatch.publish.pages import plain, prose
from terrapatch.publish.provenance import provenance
from terrapatch.recipe import load_recipe, write_settings
from terrapatch.records import Exclusion, Gap, Lock, LockedVector


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return make_published(tmp_path_factory.mktemp("shown"))


@pytest.fixture(scope="module")
def page_text(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    return run_report(tree, folder / "index.html", *training_files(tree, folder))


def card_of(tree):
    return (Path(tree.results.dataset) / "README.md").read_text("utf-8")


def published_again(tree):
    run_publish(tree)
    return card_of(tree), run_report(tree, Path(tree.results.report))


# --- axes of maps -------------------------------------------------------------------------------


class Texts(HTMLParser):
    """Every text of a drawing: words, where it begins and ends in px, and the sheet's width."""

    def __init__(self, svg):
        super().__init__()
        self.found, self.width, self.open = [], 0.0, None
        self.feed(str(svg))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "svg":
            self.width = float(given["viewbox"].split()[2])
        if tag == "text":
            self.open = given

    def handle_data(self, data):
        if self.open is None:
            return
        size, x = float(self.open["font-size"]), float(self.open["x"])
        # Digits and signs are 0.55 em wide in the usual fonts.
        room = 0.55 * size * len(data)
        shift = {"end": room, "middle": room / 2}.get(self.open.get("text-anchor"), 0)
        self.found.append((data, x - shift, x - shift + room))
        self.open = None


def square(lon, lat, side):
    return [(lon, lat), (lon + side, lat), (lon + side, lat + side), (lon, lat + side)]


@pytest.mark.parametrize(
    ("lon", "lat", "side"),
    [(3.1, 43.7871, 0.002), (143.7871, -33.91234, 0.0008), (-48.1, -6.1, 0.1), (-179.4, 62.0, 2.0),
     (11.5, 78.2, 0.02), (0, 0, 40)],
)  # fmt: skip
def test_labels_of_coordinates_are_whole_and_on_the_sheet(lon, lat, side):
    groups = [maps.Group("a", "#000000", [square(lon, lat, side)])]
    units = [("unit", [square(lon, lat, side)])]
    for svg in (maps.patch_map(groups, "t"), maps.location_map(units, groups, "t")):
        drawn = Texts(svg)
        degrees = [entry for entry in drawn.found if "°" in entry[0]]
        assert len(degrees) >= 2
        for words, start, end in degrees:
            assert re.fullmatch(r"\d+(\.\d+)?°[EWNS]?", words)
            assert start >= 0, words
            assert end <= drawn.width, words
        easts = sorted((s, e) for w, s, e in degrees if w[-1] in "EW")
        assert all(a[1] < b[0] for a, b in pairwise(easts)), easts
        for axis, low in (("EW", lon), ("NS", lat)):
            for words, _, _ in degrees:
                if words[-1] in axis:
                    value = float(words[:-2]) * (-1 if words[-1] in "WS" else 1)
                    assert low - side <= value <= low + 2 * side, words


def test_labels_keep_the_digits_that_tell_them_apart():
    assert digits([143.7875, 143.788]) == 4
    assert labels([143.7875, 143.788]) == ["143.7875", "143.7880"]
    assert labels([0, 500_000, 1_000_000]) == ["0", "500,000", "1,000,000"]


def test_an_area_across_the_antimeridian_is_one_piece():
    outlines = [square(179.8, -17, 0.1), square(-179.9, -17, 0.1)]
    drawn = Texts(maps.patch_map([maps.Group("a", "#000000", outlines)], "t"))
    words = [w for w, _, _ in drawn.found if w[-1] in "EW"]
    assert words
    assert all(float(w[:-2]) >= 179.7 for w in words), words
    assert {w[-1] for w in words} == {"E", "W"}


# --- counts, splits, what was not used ----------------------------------------------------------


def test_scenes_count_as_used_where_they_gave_pixels(tree, page_text):
    lock = read_lock(tree.results.lock)
    named = {i.id for i in lock.items}
    # The manifest names one scene a sensor; those of the units gave nothing.
    assert len(named) > 4
    assert "2 scenes and maps used" in card_of(tree)
    page = Page(page_text)
    text = " ".join(" ".join(page.text).split())
    assert "2 scenes and maps used" in text
    assert f"{len(named) - 2 + len(lock.excluded)} found and not used" in text
    for name in named | {e.id for e in lock.excluded}:
        assert name in text
    used, unused = text.split("Found and not used")
    assert "sentinel2-scene-1" in used
    other = next(n for n in sorted(named) if n.startswith("sentinel2-scene-b"))
    assert other not in used
    assert other in unused
    assert "planned, but no pixel of a published patch comes from it" in unused


def test_units_left_out_and_gaps_of_series_stand_in_the_report(tmp_path):
    tree = make_published(tmp_path)
    gap = Gap(sensor="sentinel1", relative_orbit=103, orbit_direction="descending", start="2022-01-01",
              end="2022-03-01", usual_days=12, longest_days=59, reason="a satellite ended")  # fmt: skip
    lock = read_lock(tree.results.lock).model_copy(
        update={"units_left_out": {"b777_000": "no scene of sentinel1"}, "gaps": (gap,)}
    )
    write_lock(lock, tree.results.lock)
    _, page = published_again(tree)
    text = " ".join(" ".join(Page(page).text).split())
    assert "unit b777_000 Unit no scene of sentinel1" in text
    assert "Gaps in the series" not in text  # a mosaic is one image
    settings = Path(tree.settings("publish"))
    plain_settings = json.loads(settings.read_text("utf-8"))
    plain_settings["layers"]["sentinel1"]["time"] = "series"
    settings.write_text(json.dumps(plain_settings), "utf-8")
    _, page = published_again(tree)
    text = " ".join(" ".join(Page(page).text).split())
    wanted = "Sentinel-1 R103 desc 2022-01-01 to 2022-03-01 none for 59 days instead of 12: a satellite ended"
    assert wanted in text


def test_all_kinds_of_things_not_used_are_told_without_the_folders_of_one_machine(tmp_path):
    tree = make_published(tmp_path)
    lock = read_lock(tree.results.lock)
    items = tuple(
        i.model_copy(update={"assets": {
            band: a.model_copy(update={"href": f"/data/mine/archive/{a.href}"})
            for band, a in i.assets.items()
        }})
        for i in lock.items
    )  # fmt: skip
    others = (
        Exclusion(
            id="/data/mine/archive/x.tar.gz", sensor="other", reason="archives are not looked into"
        ),
        Exclusion(
            id="S2A_X", sensor="sentinel2", reason="the same as /data/mine/archive/twice/S2A_X"
        ),
    )
    vector = LockedVector(
        id="networks.0.0", href="/data/mine/archive/v/roads.gpkg", layer="roads", crs="EPSG:4326", fields={},
        features=7, files=(), left_out={"importance=5": 1063},
    )  # fmt: skip
    notes = ("/data/mine/archive/area.gpkg: a bow tie was repaired",)
    changed = {"items": items, "excluded": others, "vectors": (vector,), "notes": notes}
    write_lock(lock.model_copy(update=changed), tree.results.lock)
    _, page = published_again(tree)
    text = " ".join(" ".join(Page(page).text).split())
    for part in ("x.tar.gz Other archives are not looked into", "the same as twice/S2A_X",
                 "roads.gpkg, layer roads Vectors 1,063 features left out: importance=5",
                 "Notes of the plan area.gpkg: a bow tie was repaired"):  # fmt: skip
        assert part in text, part
    assert "/data/mine" not in page


@pytest.mark.parametrize(
    ("share", "wanted", "parts"),
    [(0.72, 0.72, False), (0.692, 0.72, False), (0.41, 0.72, True), (0.21, 0.18, False),
     (0.38, 0.10, True), (0.04, 0.10, True), (0.0, 0.0, False), (0.006, 0.05, True)],
)  # fmt: skip
def test_splits_part_where_a_person_should_know(share, wanted, parts):
    assert parted(share, wanted) is parts


def test_splits_show_wanted_beside_got_and_warn(tmp_path):
    tree = make_tree(tmp_path)
    layouts(tree.built(), tree.settings("layouts"), Path(tree.results.dataset))
    summary = json.loads(Path(tree.results.splits).read_text("utf-8"))
    sizes = {s: int((tree.kept["split"] == s).sum()) for s in ("train", "val", "test")}
    total = sum(sizes.values())
    for split, n in sizes.items():
        summary["splits"][split] |= {"wanted": round(n / total, 2)}
    write_json(tree.results.splits, summary)
    card, page = published_again(tree)
    assert "Warning" not in card
    assert 'class="warning"' not in page
    for split, share in zip(sizes, (0.2, 0.2, 0.6), strict=True):
        summary["splits"][split] |= {"wanted": share}
    write_json(tree.results.splits, summary)
    card, page = published_again(tree)
    got = " / ".join(f"{100 * n / total:.0f}" for n in sizes.values())
    sentence = f"Train, val and test have {got} % of the patches, and 20 / 20 / 60 % were wanted."
    assert sentence in card
    assert sentence in page
    assert 'class="warning"' in page
    assert f"| train | {sizes['train']} | {100 * sizes['train'] / total:.1f} % | 20.0 % |" in card


def test_metrics_of_another_version_are_named_with_the_remedy(tree, tmp_path):
    metrics, predictions = training_files(tree, tmp_path)
    measured = json.loads(metrics.read_text("utf-8"))
    del measured["models"]["forest"]["classes_with_truth"]
    write_json(metrics, measured)
    with pytest.raises(StorageError, match=r"no classes_with_truth of forest.*another version"):
        run_report(tree, tmp_path / "index.html", metrics, predictions)


def test_a_layout_of_another_version_is_named_with_the_remedy(tmp_path):
    tree = make_published(tmp_path)
    path = Path(tree.results.layout)
    layout = json.loads(path.read_text("utf-8"))
    del layout["nodata"]
    write_json(path, layout)
    with pytest.raises(StorageError, match="run `terrapatch layouts"):
        run_publish(tree)


# --- foreign names ------------------------------------------------------------------------------

NAMES = ("A|B", "<b>bold</b> & <script>alert(1)</script>", "*star* _under_ [link](http://x) `tick`",
         'quote " and \\', "x" * 60)  # fmt: skip


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    root = tmp_path_factory.mktemp("foreign")
    rows = ["level,code,abbrev,name,parent,color"]
    for level, parent in (("l1", ""), ("l2", "1")):
        for code, name in enumerate(NAMES, start=1):
            quoted = name.replace('"', '""')
            rows.append(f'{level},{code},c{code},"{quoted}",{parent},#10{code}0{code}0')
    path = root / "legend.csv"
    path.write_text("\n".join(rows) + "\n", "utf-8")
    recipe = {
        "label": {"legend": str(path)}, "layouts": {"name": "native"},
        "publish": {"title": "T | <i>*x*</i>", "authors": ["A_B|C <c>"], "quicklooks": 2},
    }  # fmt: skip
    tree = make_tree(root / "tree", recipe=recipe)
    layouts(tree.built(), tree.settings("layouts"), Path(tree.results.dataset))
    return tree, *published_again(tree)


def cells(row):
    """Cells of a row of a table, as readers of Markdown see them: an escaped | is no border."""
    return [c.strip() for c in re.split(r"(?<!\\)\|", row)[1:-1]]


def unescaped(cell):
    text = re.sub(r"\\([\\`*_{}\[\]|~#])", r"\1", cell)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def test_class_names_are_no_markup_in_the_card(foreign):
    _, card, _ = foreign
    body = card.split("---\n", 2)[2]
    for block in re.findall(r"(?:^\|.*\n)+", body, re.M):
        assert len({len(cells(row)) for row in block.splitlines()}) == 1, block
    rows = [cells(row) for row in re.findall(r"^\| \d+ \|.*$", body, re.M)]
    assert [unescaped(row[1]) for row in rows] == [*NAMES, *NAMES]
    assert {unescaped(row[3]) for row in rows if len(row) > 8} == {NAMES[0]}  # the parent
    assert "<script" not in body
    assert "<b>" not in body
    assert "<i>" not in body
    assert r"\[link\](http" in body
    assert "# T \\| &lt;i&gt;\\*x\\*" in body


def test_class_names_are_no_markup_in_the_report(foreign):
    *_, text = foreign
    page = Page(text)
    told = " ".join(page.text)
    for name in NAMES:
        assert name in told, name
    assert "<script" not in text
    assert "<b>bold" not in text


def test_text_for_markdown_and_html_is_escaped_once():
    assert plain("a\n b  c") == "a b c"
    assert plain("T1+ of 1 cycle") == "T1+ of 1 cycle"
    assert str(prose("x `a<b` **not** c & <d>")) == (
        "x <code>a&lt;b</code> <strong>not</strong> c &amp; &lt;d&gt;"
    )


# --- the page -----------------------------------------------------------------------------------


class Layout(HTMLParser):
    """What stands inside of what."""

    def __init__(self, text):
        super().__init__()
        self.path, self.tables, self.drawings, self.figures = [], [], [], []
        self.fills, self.legends, self.feeding = set(), [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        classes = (given.get("class") or "").split()
        above = [name for _, names in self.path for name in names]
        if tag == "table":
            self.tables.append(above)
        if tag == "svg":
            self.drawings.append(above)
        if tag == "aside":
            self.legends.append([])
        if tag == "figure":
            self.figures.append({"id": given["id"], "links": []})
        if tag == "a" and any(t == "figure" for t, _ in self.path):
            self.figures[-1]["links"].append(given["href"])
        if tag == "img":
            self.figures[-1]["img"] = given
        if any(t == "svg" for t, _ in self.path):
            self.fills |= set(re.findall(r"(?:fill|stroke):([^;]+)", given.get("style", "")))
            assert not {"fill", "stroke"} & given.keys()
        if tag not in ("img", "br", "meta", "input", "line", "circle"):
            self.path.append((tag, classes))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in ("img", "br", "meta", "input", "line", "circle"):
            self.path.pop()

    def handle_endtag(self, tag):
        self.path.pop()

    def handle_data(self, data):
        if any(tag == "aside" for tag, _ in self.path) and data.strip():
            self.legends[-1].append(data.strip())


@pytest.fixture(scope="module")
def layout(page_text):
    return Layout(page_text)


def test_tables_and_drawings_scroll_by_themselves(layout):
    assert len(layout.tables) > 8
    assert len(layout.drawings) > 6
    assert all("scroll" in above for above in layout.tables + layout.drawings)


def test_pictures_carry_their_size_and_open_without_a_script(layout, page_text):
    ids = Page(page_text).ids
    assert len({f["id"] for f in layout.figures}) == len(layout.figures) > 10
    for figure in layout.figures:
        png = base64.b64decode(figure["img"]["src"].partition(",")[2])
        size = struct.unpack(">2I", png[16:24])
        assert (int(figure["img"]["width"]), int(figure["img"]["height"])) == size
        opened, closed = figure["links"]
        assert opened == f"#{figure['id']}"
        assert closed[1:] in ids
        assert figure["id"].startswith(closed[1:])  # back to the same patch
    assert "figure:target" in page_text


def test_a_legend_stands_beside_the_pictures(layout, tree):
    from terrapatch.legend import load_legend

    legend = load_legend("cerradata4mm")
    looks, predictions = layout.legends
    for level in legend.levels:
        assert {level.name, *(c.name for c in level.classes)} <= set(looks)
    assert {c.name for c in legend.level("l1").classes} <= set(predictions)
    assert "Deforestation 2022" not in predictions


def test_drawings_have_the_colours_of_the_page_or_of_the_legend(layout, page_text):
    from terrapatch.legend import load_legend

    ours = {c.color for level in load_legend("cerradata4mm").levels for c in level.classes}
    names = {f[4:-1] for f in layout.fills if f.startswith("var(--")}
    rest = {f for f in layout.fills if not f.startswith("var(--")} - {"none"}
    assert rest <= ours
    light, dark = (
        set(re.findall(r"(--[a-z-]+):", block))
        for block in re.findall(r":root {(.*?)}", page_text, re.S)
    )
    assert "prefers-color-scheme: dark" in page_text
    assert names <= light == dark


def test_the_report_shows_where_the_units_lie(page_text, tree):
    units = [unit.id for unit in read_lock(tree.results.lock).units]
    assert len(units) == 2
    for unit in units:
        assert f"<title>unit {unit}</title>" in page_text
    assert "Outlines of 2 units with a point for each published patch" in page_text
    dots = re.findall(r'<path d="((?:M[\d. ]+h0)+)"', page_text)
    assert sum(path.count("h0") for path in dots) == len(tree.kept)


# --- captions -----------------------------------------------------------------------------------

WANTED = (("True colour", ("B04", "B03", "B02")), ("False colour", ("B08", "B04", "B03")))


@pytest.mark.parametrize(
    ("bands", "titles"),
    [(("B02", "B03", "B04", "B08"), ["True colour (B04, B03, B02)", "False colour (B08, B04, B03)"]),
     (("B02", "B03", "B04"), ["True colour (B04, B03, B02)"]), (("B03", "B04", "B08"), ["False colour (B08, B04, B03)"]),
     (("B05", "B8A", "B11", "B12"), ["B05, B8A, B11"]), (("B08", "B11"), ["B08"])],
)  # fmt: skip
def test_captions_say_which_bands(bands, titles):
    found = pictures.composites(bands, WANTED)
    assert [title for title, _ in found] == titles
    for title, chosen in found:
        assert ", ".join(bands[k] for k in chosen) in title


def test_radar_pictures_of_amplitudes_claim_no_decibel(tree, page_text):
    from dataclasses import replace

    from terrapatch.layers import AMPLITUDE, Values
    from terrapatch.publish.kinds.sentinel1 import radar_title
    from terrapatch.stacks import open_stack

    unit = tree.kept["unit"].iloc[0]
    info = open_stack(Path(tree.results.stacks) / unit / "sentinel1.zarr").info
    assert radar_title(info, 3) == "Radar (VV, VH, VV/VH; dB)"
    assert "Radar (VV, VH, VV/VH; dB)" in page_text
    assert (
        radar_title(replace(info, values=Values(AMPLITUDE)), 3)
        == "Radar (VV, VH, VV/VH; amplitude, logarithmic)"
    )
    assert radar_title(replace(info, bands=("HH", "local_incidence")), 1) == "Radar (HH; dB)"


# --- provenance ---------------------------------------------------------------------------------


def test_provenance_names_the_lock_the_versions_and_the_command(tree, page_text):
    digest = hashlib.sha256(Path(tree.results.lock).read_bytes()).hexdigest()
    assert digest in page_text
    assert "terrapatch build results/tiny/settings/recipe.yaml" in page_text
    for library in ("numpy", "rasterio", "GDAL", "PROJ"):
        assert re.search(rf"{library} \d+\.\d+", page_text), library
    assert str(tree.results.root) not in page_text


@pytest.mark.parametrize(
    ("changes", "command"),
    [({}, "terrapatch build demo"), ({"mode": "published"}, "terrapatch build demo --set mode=published"),
     ({"catalog": {"cloud_percent": 5}}, "terrapatch build results/demo/settings/recipe.yaml"),
     ({"training": {"trees": 7}}, "terrapatch build results/demo/settings/recipe.yaml")],
)  # fmt: skip
def test_the_command_is_that_of_a_shipped_recipe_only_where_its_settings_are_these(
    changes, command, tmp_path
):
    write_settings(load_recipe("demo", changes), tmp_path / "settings")
    lock = tmp_path / "lock.json"
    write_lock(Lock(name="demo", source="local", units=(), items=()), lock)
    assert provenance(tmp_path / "settings" / "publish.json", lock, "demo").command == command
