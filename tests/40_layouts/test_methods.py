# SPDX-License-Identifier: Apache-2.0
"""What card and report say was done, compared with settings and lock, mode by mode."""

from typing import get_args

import pytest

from made.recipes import resolve
from terrapatch.layers import LayerRecord, LayoutRecord, Values
from terrapatch.legend import load_legend
from terrapatch.publish.deviations import deviations
from terrapatch.publish.kinds.sentinel1 import quantity
from terrapatch.publish.kinds.sentinel2 import keeps_offset
from terrapatch.publish.methods.steps import attribution, methods
from terrapatch.recipe import StageSettings, load_recipe
from terrapatch.records import Lock, LockedAsset, LockedFile, LockedItem, LockedVector
from terrapatch.settings import (
    CleanStep,
    LabelsSettings,
    NetworkSource,
    PatchesSettings,
    RasterSettings,
    SamplingSettings,
    Sentinel1Settings,
    Sentinel2Settings,
    SplitsSettings,
    VectorSource,
)
from terrapatch.yamlfiles import merged

BASE = {
    "name": "here", "area": {"bbox": [-48.1, -6.1, -48.0, -6.0]},
    "catalog": {"source": "local", "paths": ["x"], "period": ["2022-01-01", "2022-12-31"]},
    "sentinel1": {"dem": ["/data/dem/north.tif"]}, "label": {"path": "/maps/map_2022.tif"},
}  # fmt: skip
GRD = {"sentinel1": {"level": "GRD"}}


def settings_of(*changes):
    data = BASE
    for change in changes:
        data = merged(data, change)
    return StageSettings.of(resolve(data).stage_settings("publish"))


def shipped(name, mode):
    plain = load_recipe(name, {"mode": mode}).stage_settings("publish")
    return StageSettings.of(plain)


def item(sensor, name="one", *, band="B02", orbit_file=None, href=None, noise="n.xml", **facts):
    asset = {
        "href": href or f"/archive/{name}.tif", "crs": "EPSG:32722", "shape": (10, 10), "dtype": "uint16",
        "transform": (10, 0, 0, 0, -10, 0), "noise": noise,
        **{k: facts.pop(k) for k in ("add_offset", "scale", "quantification", "gain") if k in facts},
    }  # fmt: skip
    given = {"level": {"sentinel2": "L2A", "sentinel1": "GRD", "reference": "map"}[sensor]} | facts
    return LockedItem(
        id=name, sensor=sensor, datetime="2022-06-17T13:21:00Z", footprint={}, orbit_file=orbit_file,
        assets={band: LockedAsset(**asset)}, **given,
    )  # fmt: skip


def lock_of(*items, source="local", **facts):
    found = items or (
        item("sentinel2", "a", processor="esa", processing_baseline="04.00", add_offset=-1000.0),
        item("sentinel2", "b", processor="esa", processing_baseline="02.09"),
        item("sentinel1", "c", band="VV"), item("reference", "map_2022", band="map"),
    )  # fmt: skip
    facts = {"heights": (LockedFile(href="/data/dem/north.tif"),)} | facts
    return Lock(name="here", source=source, units=(), items=found, **facts)


def vector(entry, layer="ocsge2", href="/data/ocsge2.gpkg"):
    return LockedVector(
        id=entry, href=href, layer=layer, crs="EPSG:2154", fields={}, features=1234, files=()
    )


def said(settings, lock=None, nodata=None):
    """Name of a step → its text."""
    legends = {name: load_legend(layer.legend) for name, layer in settings.labels.items()}
    steps = methods(settings, lock or lock_of(), legends, nodata or {"sentinel2": 0, "label": 255})
    return {step.name: step.text for step in steps}


# --- the four builds of the shipped samples -----------------------------------------------------


def sample_lock(settings, simulated=True):
    """A lock as the plan of a sample makes it."""
    theia = settings.sampling.kind == "tiles"
    optical = [
        item("sentinel2", "t", processor="theia"),
        item("sentinel2", "u", processor="theia"),
    ]
    if not theia:
        optical = [
            item("sentinel2", "t", processor="esa", processing_baseline="03.01"),
            item("sentinel2", "u", processor="esa", processing_baseline="04.00", add_offset=-1000.0),
        ]  # fmt: skip
    vectors = ()
    if theia:
        vectors = (
            vector("vectors.0.0", href="/tmp/x/archive/reference/ocsge2_grandest_2020.gpkg"),
            vector("networks.0.0", "troncon_de_route", "/x/bdtopo_2020.gpkg"),
            vector("networks.1.0", "troncon_de_voie_ferree", "/x/bdtopo_2020.gpkg"),
        )
    maps = [] if theia else [item("reference", "terraclass_2022", band="map")]
    heights = (
        ()
        if settings.layers["sentinel1"].geometry == "gcp"
        else (LockedFile(href="/x/dem/heights.tif"),)
    )
    return lock_of(
        *optical, item("sentinel1", "s", band="VV"), *maps, source="simulated", vectors=vectors,
        heights=heights,
    )  # fmt: skip


SAMPLES = {
    ("cerradata4mm-sample", "corrected"): (
        ["ellipsoid's γ⁰", "Thermal noise, as the products state it, is subtracted", "range and Doppler",
         "`heights.tif` (the embedded archive's own)", "kernel bilinear, on linear power",
         "No speckle filter.", "Values are γ⁰ in linear power.", "One image of all passes",
         "is applied: values are 10000 × reflectance", "float32", "Labels are not cleaned.",
         "`terraclass_2022.tif` (simulated)", "Square blocks of 2,600 m", "nearer than 640 m",
         "03.01 (offset 0); 04.00 (offset -1000)", "Edges `thin`", "levels (`l1`) are derived from `l2`"],
        ["mplitude", "**not**", "control points", "At random", "series"],
    ),
    ("cerradata4mm-sample", "published"): (
        ["Amplitudes: digital numbers as they are", "thermal noise is left in", "control points, without relief",
         "on digital numbers", "Values are uncalibrated amplitude (DN).", "**not** applied",
         "after 20 m and 60 m bands were brought to 10 m (nearest)", "At random, 90/10 and then 80/20",
         "seeds 42 and 666"],
        ["linear power", "Calibrated", "is subtracted", "Doppler", "Square blocks"],
    ),
    ("multisenge-sample", "corrected"): (
        ["Calibrated to σ⁰", "multitemporal (Quegan and Yu), 3 × 3 px", "σ⁰ in linear power",
         "A series: one image a pass, joined from its slices", "at least 5 % of its pixels",
         "at least 100 % of its pixels", "Theia's FRE: reflectance with the correction of slope effects",
         "No product states a radiometric offset", "kernel cubic", "int16; zero and negative",
         "edge mask EDG", "10 m bands keep their pixels", "(1) `fill`", "up to 50 m", "25,000 m²",
         "40 × 50 m (height × width)", "(5) `settle`", "No step changes `5 Large Scale Networks`",
         "`ocsge2_grandest_2020.gpkg` (layer `ocsge2`, 1,234 features around the area, simulated)",
         "`highway` 30 m", "No edge layers.", "the earlier tile is kept (`31UGQ` first",
         "step of 256 px", "No buffer keeps"],
        ["No speckle", "grey", "257", "S1Tiling", "mosaic", "Map"],
    ),
    ("multisenge-sample", "published"): (
        ["S1Tiling's fixed cuts: 1,000 pixels", "1,600 lines", "kernel nearest", "grey closing", "step of 257 px",
         "up to 30 m", "as in MultiSenGE's release", "multitemporal (Quegan and Yu)"],
        ["kernel cubic", "`settle`", "kernel bilinear"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "mode"), SAMPLES, ids=lambda x: x)
def test_the_samples_are_described_as_their_recipes_make_them(name, mode):
    settings = shipped(name, mode)
    text = " ".join(said(settings, sample_lock(settings)).values())
    there, not_there = SAMPLES[name, mode]
    for part in there:
        assert part in text, part
    for part in not_there:
        assert part not in text, part
    assert "/x/" not in text
    assert "/tmp/" not in text


# --- one setting, one sentence ------------------------------------------------------------------

RADAR = [
    ({"level": "RTC"}, ["taken as delivered", "backscatter in linear power"], ["Calibrated", "noise, as"]),
    ({"level": "RTC", "scale": "db"}, ["backscatter in dB"], ["in linear power."]),
    ({"level": "RTC", "speckle": "boxcar", "speckle_radius": 2}, ["boxcar, 5 × 5 px"], ["No speckle"]),
    ({"level": "GRD", "radiometry": "sigma0"}, ["to σ⁰", "Values are σ⁰ in linear power"], ["γ⁰"]),
    ({"level": "GRD", "radiometry": "beta0", "scale": "db"}, ["Values are β⁰ in dB."], ["γ⁰"]),
    ({"level": "GRD", "radiometry": "gamma0_rtc"},
     ["illuminated area of the terrain", "terrain-flattened γ⁰ in linear power"], ["ellipsoid's γ⁰"]),
    ({"level": "GRD", "radiometry": "amplitude"}, ["Amplitudes"], ["linear power", "Calibrated"]),
    ({"level": "GRD", "denoise": False}, ["Thermal noise is left in."], ["is subtracted"]),
    ({"level": "GRD", "speckle": "lee", "looks": 3}, ["Lee, 3 × 3 px, 3 looks"], ["refined", "No speckle"]),
    ({"level": "GRD", "speckle": "refined_lee", "speckle_radius": 1}, ["refined Lee, 7 × 7 px, 4.4 looks"], []),
    ({"level": "GRD", "geometry": "gcp"}, ["control points, without relief"], ["Doppler", "Orbits"]),
    ({"level": "GRD", "dem_vertical": "egm96", "dem_sea": True},
     ["heights above EGM96", "sea level where no file reaches", "`north.tif`"], ["archive's own"]),
    ({"level": "GRD", "directions": "apart", "time": "series"}, ["ascending passes first"], ["One image"]),
    ({"level": "GRD", "extras": ["local_incidence"]}, ["local_incidence (degrees"], ["layover"]),
    ({"level": "GRD", "polarisations": ["HH"], "kernel": "nearest"}, ["HH: each", "kernel nearest"], ["VV"]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "there", "not_there"), RADAR, ids=lambda x: str(x)[:60])
def test_the_radar_is_described_as_it_is_made(change, there, not_there):
    items = [
        item("sentinel1", "c", band=b, level=change["level"])
        for b in change.get("polarisations", ["VV"])
    ]
    text = said(settings_of({"sentinel1": change}), lock_of(*items))["Sentinel-1"]
    for part in there:
        assert part in text, part
    for part in not_there:
        assert part not in text, part


def test_what_only_the_lock_knows_is_said_too():
    items = [
        item("sentinel1", "a", band="VV", orbit_file="/o/x.EOF"),
        item("sentinel1", "b", band="VV", noise=None),
    ]
    geoid = LockedFile(href="/g/geoid.tif")
    lock = lock_of(*items, geoid=geoid)
    text = said(settings_of(GRD), lock)["Sentinel-1"]
    assert "Orbit files place 1 of 2 scenes." in text
    assert "where the products state it: 1 of 2 scenes do not" in text
    assert "geoid `geoid.tif`" in text
    many = tuple(LockedFile(href=f"/d/n{k}.hgt") for k in range(7))
    assert "and 3 more" in said(settings_of(GRD), lock_of(*items, heights=many))["Sentinel-1"]
    decibel = lock_of(item("sentinel1", "a", band="VV", level="RTC", scale="db"))
    assert (
        "1 scene in dB was turned into linear power" in said(settings_of(), decibel)["Sentinel-1"]
    )


def test_offsets_are_those_of_the_products():
    old = lock_of(item("sentinel2", "b", processing_baseline="02.09"))
    for harmonise in (True, False):
        text = said(settings_of({"sentinel2": {"harmonise": harmonise}}), old)["Sentinel-2"]
        assert "No product states a radiometric offset" in text
        assert "applied: values" not in text
        assert "**not**" not in text
    left = settings_of({"sentinel2": {"harmonise": False}})
    assert "**not** applied" in said(left)["Sentinel-2"]
    assert keeps_offset(left.layers["sentinel2"], lock_of().items) == {0.0, -1000.0}
    assert keeps_offset(settings_of().layers["sentinel2"], lock_of().items) == {0.0}
    scaled = lock_of(item("sentinel2", "b", quantification=1000.0))
    assert (
        "quantification value 1000 are brought to 10000"
        in said(settings_of(), scaled)["Sentinel-2"]
    )
    assert "quantification" not in said(settings_of(), old)["Sentinel-2"]
    raw = lock_of(item("sentinel2", "b", level="L1C", processor="esa"))
    made = settings_of({"sentinel2": {"level": "L1C"}})
    assert "top-of-atmosphere" in said(made, raw)["Sentinel-2"]


def test_missing_pixels_are_those_of_the_layout():
    native, other = settings_of(), settings_of({"layouts": {"name": "cerradata4mm"}})
    text = said(native, nodata={"sentinel2": 0, "sentinel1": None, "label": 255})["Missing pixels"]
    assert "0 is missing in `sentinel2`." in text
    assert "In `sentinel1` 0 may be a value: a pixel is missing where `source` is 0." in text
    text = said(other, nodata={"sar_images": None, "s2": -10000})["Missing pixels"]
    assert "no value stands for missing pixels; they hold 0" in text
    assert "-10000 is missing in `s2`" in text


# Changes that are no other pixels, or that the lock or another test answers for.
SILENT = {
    "sentinel2": {"version", "kind", "level", "processor"},
    "sentinel1": {"version", "kind", "orbit", "level", "dem", "geoid", "orbit_files"},
    "label": {"version", "kind", "path", "vectors", "networks", "clean"},
    "patches": {"version"},
    "splits": {"version"},
    "sampling": {"version", "unit_patches", "stride_px", "layer", "rename"},
}
OTHER = {
    ("sentinel2", "pixel_m"): 20.0, ("sentinel1", "pixel_m"): 20.0, ("label", "pixel_m"): 20.0,
    ("sentinel2", "bands"): None,  # the layout's own list stands in the card
    ("sentinel2", "upsample_first"): "nearest", ("sentinel2", "mask_scl"): [3],
    ("sentinel2", "mask_clm"): [1], ("sentinel2", "mask_mg2"): [2],
    ("sentinel1", "polarisations"): ["VH"], ("sentinel1", "extras"): ["layover_shadow"],
    ("sentinel1", "speckle_radius"): 3, ("sentinel1", "looks"): 2.5,
    ("sentinel1", "border_cut_range_px"): 10, ("sentinel1", "border_cut_azimuth_px"): 10,
    ("label", "crosswalk"): "ocsge2_multisenge", ("label", "legend"): "multisenge",
    ("label", "ignore_codes"): [7], ("label", "band"): 2, ("label", "background"): 3, ("label", "protect"): [2],
    ("patches", "require"): {"sentinel2": {"valid": 0.5, "dates": 2}},
    ("splits", "stratify"): "label", ("splits", "by"): "row", ("splits", "fractions"): [0.6, 0.2, 0.2], ("splits", "tile_priority"): ["31UGQ"],
    ("sampling", "crs"): "EPSG:32722", ("sampling", "size_px"): 64, ("sampling", "path"): "q.csv",
    ("sampling", "needs"): ["lc1"], ("sampling", "id"): "plot", ("sampling", "x"): "lon", ("sampling", "y"): "lat", ("sampling", "table_crs"): "EPSG:3035",
}  # fmt: skip
SECTIONS = {
    "sentinel2": Sentinel2Settings, "sentinel1": Sentinel1Settings, "label": LabelsSettings,
    "patches": PatchesSettings, "splits": SplitsSettings, "sampling": SamplingSettings,
}  # fmt: skip
LAYERS = ("sentinel2", "sentinel1", "label")
THEIA = {"processor": "theia", "bands": ["B02"]}
POINTS = {
    "kind": "points",
    "path": "p.csv",
    "product": "lucas_2018",
    "id": "name",
    "x": "x",
    "y": "y",
}
# Under which other settings one matters.
GIVEN = {
    ("sentinel2", "mask_clm"): THEIA, ("sentinel2", "mask_mg2"): THEIA,
    ("sentinel1", "speckle_radius"): {"speckle": "lee"}, ("sentinel1", "looks"): {"speckle": "lee"},
    ("sentinel1", "border_cut_range_px"): {"border_cut": "s1tiling"},
    ("sentinel1", "border_cut_azimuth_px"): {"border_cut": "s1tiling"},
    ("label", "protect"): {"clean": [{"step": "majority", "radius_m": 20}]},
    ("splits", "tile_priority"): {"overlap": "polygons"}, ("splits", "by"): {"method": "stratified", "by": "col"},
    ("splits", "val_seed"): {"method": "published"}, ("sentinel1", "coarser"): {"level": "RTC"},
} | {("sampling", key): POINTS for key in ("path", "product", "id", "position", "x", "y", "table_crs", "overlap", "needs")}  # fmt: skip


def other_value(model, field, value):
    """Another value of a field than its default."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        choices = get_args(model.model_fields[field].annotation)
        return next(c for c in choices if isinstance(c, str) and c != value)
    if isinstance(value, float):
        return value / 2 + 0.125
    if isinstance(value, int):
        return value + 1
    raise AssertionError(f"{field}: name another value in OTHER, or say in SILENT why it is silent")


CHANGES = [
    (name, field)
    for name, model in SECTIONS.items()
    for field in model.model_fields
    if field not in SILENT[name] and OTHER.get((name, field), "") is not None
]


@pytest.mark.parametrize(("name", "field"), CHANGES, ids=lambda x: x)
def test_a_setting_that_changes_pixels_changes_a_sentence(name, field):
    model = SECTIONS[name]
    given = GIVEN.get((name, field), {})
    usual = model.model_fields[field].default if given.get(field) is None else given[field]
    value = OTHER.get((name, field)) or other_value(model, field, usual)
    series = {"sentinel2": {"time": "series"}, "sentinel1": {"time": "series"}}
    base = BASE
    for part in (GRD, series if name == "patches" else {}, {name: given}):
        base = merged(base, part)
    theia = (
        item("sentinel2", "a", processor="theia", add_offset=-5.0), item("sentinel1", "c", band="VV"),
        item("reference", "m", band="map"),
    )  # fmt: skip
    lock = lock_of(*theia)
    # Rules between sections (masks of Theia's for products of ESA) do not matter here.
    plain = resolve(base).stage_settings("publish")
    before = StageSettings.of(plain)
    after = StageSettings.of(merged(plain, in_place(name, {field: value})))
    assert said(before, lock) != said(after, lock)


def in_place(name, change):
    """A change of a section, or of a layer, as the settings have it."""
    return {"layers": {name: change}} if name in LAYERS else {name: change}


STEPS = {
    "mmu": ({"area_m2": 25000}, {"area_m2": 100, "areas_m2": {"3": 7}, "classes": [1], "connectivity": 4,
            "at_nodata": "keep"}),
    "sieve": ({"area_m2": 25000}, {"area_m2": 100, "areas_m2": {"3": 7}, "classes": [1], "connectivity": 4,
              "by": "size", "rounds": 5}),
    "fill": ({}, {"method": "vote", "max_distance_m": 77, "gaps": True, "never_into": [5]}),
    "majority": ({"radius_m": 20}, {"radius_m": 30, "rounds": 3}),
    "closing": ({"size_m": [40, 50]}, {"size_m": [50, 40], "classes": [2], "priority": [4], "kind": "grey"}),
    "opening": ({"radius_m": 20}, {"radius_m": 30, "classes": [2]}),
    "networks": ({}, {"over_nodata": True}),
}  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_each_parameter_of_a_cleaning_step_is_said(step):
    base, changes = STEPS[step]
    texts = {said(settings_of({"label": {"clean": [{"step": step, **base}]}}))["Labels"]}
    for field, value in changes.items():
        entry = {"step": step, **base, field: value}
        texts.add(said(settings_of({"label": {"clean": [entry]}}))["Labels"])
    assert len(texts) == 1 + len(changes)
    assert all(f"`{step}`" in text and "not cleaned" not in text for text in texts)


def test_every_cleaning_step_has_its_sentence():
    kinds = {
        get_args(m.model_fields["step"].annotation)[0] for m in get_args(get_args(CleanStep)[0])
    }
    assert kinds == {*STEPS, "settle"}
    majority = {"step": "majority", "radius_m": 20}
    texts = {
        said(settings_of({"label": {"clean": [majority, {"step": "settle", **more}]}}))["Labels"]
        for more in ({}, {"rounds": 3}, {"unsettled": "keep"})
    }
    assert len(texts) == 3
    votes = [{"step": "fill", "method": "vote", "neighbours": n} for n in (5, 9)]
    first, second = (said(settings_of({"label": {"clean": [v]}}))["Labels"] for v in votes)
    assert "9 nearest pixels" in second != first


def test_each_setting_of_vectors_and_networks_is_said():
    plain = {"path": "/v/a.gpkg", "product": "ocsge2_grandest"}
    changes = {
        "where": {"year": [2020]}, "crosswalk": "ocsge2_multisenge", "priority": 7, "order_field": "rank",
        "on_top": "larger", "null_codes": "ignore", "code": 3, "codes": {"J5M": 3, "XXX": "ignore"},
    }  # fmt: skip
    # Where it lies, and how it is read, says the lock.
    placed = {"path", "product", "year", "layer", "fields", "crs", "required"}
    assert {*changes, *placed, "allow_year"} == {*VectorSource.model_fields}
    lock = lock_of(
        item("sentinel2", "a"), vectors=(vector("vectors.0.0"), vector("networks.0.0", "roads"))
    )

    def text(source, network=None):
        reference = {"path": None, "vectors": [source], "legend": "multisenge"}
        if network is not None:
            reference["networks"] = [network]
        return said(settings_of({"label": reference}), lock)["Labels"]

    texts = {text(plain), *(text(plain | {field: value}) for field, value in changes.items())}
    assert len(texts) == 1 + len(changes)
    parcels = plain | {"product": "rpg_2020"}
    assert "the state of 2020;" in text(parcels)
    assert "the state of 2020, also where" in text(parcels | {"allow_year": True})
    roads = {"path": "/v/r.gpkg", "product": "bdtopo_v3_roads", "code": 5}
    more = {
        "code": 6,
        "where": {"x": ["y"]},
        "buffers": {"highway": 44},
        "rules": "bdtopo_v3_rails",
        "buffer_m": 17,
    }
    read = {"path", "product", "year", "layer", "crs", "required"}
    assert {*more, *read} == {*NetworkSource.model_fields}
    texts = {text(plain, roads), *(text(plain, roads | {k: v}) for k, v in more.items())}
    assert len(texts) == 1 + len(more)
    assert "`highway` 44 m" in text(plain, roads | {"buffers": {"highway": 44}})


def test_metres_of_a_grid_in_degrees_name_their_latitude():
    cleaned = settings_of({"label": {"clean": [{"step": "majority", "radius_m": 20}]}})
    assert "at latitude -6.025" in said(cleaned, lock_of(latitude=-6.025))["Labels"]
    assert "latitude" not in said(cleaned)["Labels"]
    assert "latitude" not in said(settings_of(), lock_of(latitude=-6.025))["Labels"]


# --- sources and licences -----------------------------------------------------------------------


def test_simulated_data_are_credited_to_nobody():
    for name in ("cerradata4mm-sample", "multisenge-sample"):
        settings = shipped(name, "corrected")
        assert settings.publish.reference_licence  # inherited from the recipe for real data
        text = " ".join(attribution(settings, sample_lock(settings), ["2022"]))
        for word in ("INPE", "EMBRAPA", "IGN", "Etalab", "OCSGE2", "modified Copernicus"):
            assert word not in text, word
        assert "simulated" in text


def test_real_sources_are_credited_with_their_terms():
    settings = settings_of(GRD, {"publish": {"reference_licence": "Map: CC-BY-4.0."}})
    lock = lock_of(
        item("sentinel2", "a", licence="Terms | of A"), item("sentinel1", "b", band="VV"),
        item("reference", "m", band="map"),
    )  # fmt: skip
    assert attribution(settings, lock, ["2021", "2022"]) == [
        "Contains modified Copernicus Sentinel data [2021, 2022].",
        "Terms of the Sentinel-2 products: `Terms | of A`.",
        "Heights: `north.tif`; see the terms of their provider.",
        "Reference: Map: CC-BY-4.0.",
    ]
    untold = attribution(settings_of(), lock, ["2022"])[-1]
    assert "not stated in the recipe (`publish.reference_licence`)" in untold


def test_a_real_map_beside_simulated_scenes_keeps_its_credit():
    settings = settings_of(
        {"catalog": {"source": "simulated"}, "publish": {"reference_licence": "INPE"}}
    )
    text = " ".join(attribution(settings, lock_of(source="simulated"), ["2022"]))
    assert "Reference: INPE." in text
    assert "All imagery is simulated" in text


# --- deviations ---------------------------------------------------------------------------------

FIGURES = {
    "layers": {
        "sentinel2": {"bands": ["B02"], "mean": [500.0], "std": [484.33]},
        "sentinel1": {"bands": ["VV"], "mean": [104.879], "std": [79.802]},
    },
    "classes": {"label": {
        level: {"pixels": {"kept": [0] * n}} for level, n in (("l2", 14), ("l1", 7))
    }},
}  # fmt: skip
LAYOUT = LayoutRecord(
    layout="cerradata4mm", patches=1, splits={"train": 1, "val": 0, "test": 0}, files={}, nodata={},
    layers={
        kind: LayerRecord(kind=kind, bands=bands, dtype="float32", size_px=8, pixel=1e-4, values=values)
        for kind, bands, values in (
            ("sentinel2", ("B02",), Values("reflectance", scale=1e-4)),
            ("sentinel1", ("VV",), Values("linear power")),
        )
    },
)  # fmt: skip


def verdicts(*changes, lock=None):
    made = settings_of({"layouts": {"name": "cerradata4mm"}}, *changes)
    lock = lock or lock_of(item("sentinel2", "a", add_offset=-1000.0))
    rows = deviations(made, {"label": load_legend("cerradata4mm")}, LAYOUT, FIGURES, lock)[
        "comparison"
    ]
    return {row["what"]: row["verdict"] for row in rows if row["group"] == "values"}


@pytest.mark.parametrize(
    ("radar", "wanted"),
    [({"level": "GRD", "radiometry": "amplitude"}, "+0.0 %, both uncalibrated amplitude"),
     ({"level": "GRD", "radiometry": "sigma0"}, "ours is σ⁰ in linear power"),
     ({"level": "GRD", "scale": "db"}, "ours is γ⁰ in dB"),
     ({"level": "RTC"}, "ours is backscatter in linear power")],
)  # fmt: skip
def test_deviations_compare_amplitudes_with_amplitudes_alone(radar, wanted):
    found = verdicts({"sentinel1": radar})
    assert wanted in found["sentinel1 VV mean"]
    assert (
        quantity(settings_of({"sentinel1": radar}).layers["sentinel1"])
        in wanted.replace("both ", "") + " (DN)"
    )


def test_deviations_add_the_offset_that_ours_lack_and_no_other():
    off = 100 * (1500 - 1422.62) / 1422.62
    assert (
        verdicts()["sentinel2 B02 mean"]
        == f"{off:+.1f} % once the +1000 offset of the published values is added"
    )
    assert verdicts()["sentinel2 B02 std"] == "+0.0 %"
    left = {"sentinel2": {"harmonise": False}}
    bare = f"{100 * (500 - 1422.62) / 1422.62:+.1f} %"
    assert verdicts(left)["sentinel2 B02 mean"] == bare
    # No offset in the products: ours have none to leave in.
    old = lock_of(item("sentinel2", "a"))
    assert verdicts(left, lock=old)["sentinel2 B02 mean"] == verdicts()["sentinel2 B02 mean"]
    assert "several baselines" in verdicts(left, lock=lock_of())["sentinel2 B02 mean"]
    raw = lock_of(item("sentinel2", "a", level="L1C"))
    assert (
        verdicts(lock=raw)["sentinel2 B02 mean"]
        == "not comparable: published values are L2A, ours are L1C"
    )


def test_probabilities_are_told_as_percent_and_not_as_reflectance():
    layers = {"chances": {"kind": "sentinel2", "bands": ["SNWPRB", "CLDPRB"]}}
    settings = settings_of({"layers": layers})
    items = lock_of(
        item("sentinel2", "a", band="CLDPRB", processor="esa", processing_baseline="04.00")
    )
    lock = items.model_copy(update={"scenes": {"chances": "sentinel2"}})
    (text,) = [t for name, t in said(settings, lock).items() if "chances" in name]
    assert "percent of probability" in text
    assert "kernel nearest" in text
    assert "no data are missing" in text
    assert not any(word in text for word in ("reflectance are", "10000", "offset", "uint16"))


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"path": "a*.tif", "date": "2020-06-01"}, ["2020-06-01", "order of their names"]),
        (
            {"path": ["b.tif", "a.tif"], "nodata": 7.0},
            ["as listed in the recipe", "declare it, 7 is"],
        ),
        ({"index": "/x/tiles.gpkg", "dtype": "uint8"}, ["`tiles.gpkg`", "rounded to uint8"]),
        ({"path": "a.tif", "numbers": [4]}, ["Bands 4 of the files are taken as `NIR`"]),
        ({"path": "a.tif", "kernel": "cubic", "coarser": "widen"}, ["kernel cubic", "widened"]),
    ],
)
def test_each_key_of_plain_rasters_is_told(keys, told):
    assert RasterSettings(bands=("NIR",), **keys)
    settings = settings_of({"layers": {"aerial": {"kind": "raster", "bands": ["NIR"], **keys}}})
    files = [
        item("reference", name).model_copy(update={"sensor": "raster", "level": "raster"})
        for name in ("a", "b")
    ]
    text = said(settings, lock_of(*files))["aerial"]
    assert text.startswith("2 files")
    assert all(words in text for words in told)
