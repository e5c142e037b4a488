"""Real radar pixels dressed as GRD products, so that they run through the stage itself.

No whole GRD product with pixels is among the samples, so two are put together; both say what is
real and what is borrowed:

* `kerala`: genuine measurement of IW GRDH (S1A, 2018-07-16, descending, VV and VH), averaged to
  about 200 m, with its own 210 control points. Its annotation is missing: all else but the control
  points is that of another product of the same satellite (S1A, 2020-07-08). Good for
  `geometry: gcp`; calibration and noise are borrowed at the same pixel of the swath.
* `angra`: amplitude of a genuine IW3 SLC crop (S1A, 2022-09-18, descending, VV) with its own
  annotation and restituted orbit. Slant range takes the place of ground range, by a polynomial of
  degree 1. Good for `geometry: terrain`; digital numbers only.
"""

import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import rasterio

from terrapatch.catalog.files import Files
from terrapatch.catalog.grd import read_product
from terrapatch.catalog.locking import locked_item
from terrapatch.sentinel1.grd import quiet

FULL = (16758, 25611)
"""Lines and pixels of the image over Kerala before it was averaged: its last control points lie
at (N − 1) / N of the small image."""
CROP = (9799, 10999)
"""Line and pixel of the crop's first sample in IW3, from 0. Source: tests of SARProcessing.jl,
which made it: window (9800:10400, 11000:12400), from 1."""
BURST = 6
"""The crop lies in one burst, the seventh: lines 9084 to 10597."""


_LINES = ("line", "firstAzimuthLine", "lastAzimuthLine")
_PIXELS = ("pixel", "firstRangeSample", "lastRangeSample")


def template(shared):
    """Files of the product of 2020 by their short names."""
    (path,) = (shared / "s1_grd_safe").glob("*_9550.zip")
    with zipfile.ZipFile(path) as archive:
        names = [n for n in archive.namelist() if n.endswith((".xml", "manifest.safe"))]
        return {name.split("/", 1)[1]: archive.read(name) for name in names}


def set_text(root, path, value):
    (node,) = root.findall(path)
    node.text = str(value)


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else ET.tostring(text))
    return path


def write_measurement(folder, name, numbers):
    path = folder / "measurement" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with quiet(), rasterio.open(
        path, "w", driver="GTiff", dtype="uint16", count=1,
        height=numbers.shape[0], width=numbers.shape[1],
    ) as dataset:  # fmt: skip
        dataset.write(numbers, 1)


def control_points(root, line, pixel, lon, lat):
    """Put a geolocation grid (rows, points) in place of the annotation's."""
    points = root.find("geolocationGrid/geolocationGridPointList")
    pattern = points[0]
    for node in list(points):
        points.remove(node)
    for place in np.ndindex(line.shape):
        node = ET.fromstring(ET.tostring(pattern))
        for tag, values in (
            ("line", line), ("pixel", pixel), ("longitude", lon), ("latitude", lat),
        ):  # fmt: skip
            set_text(node, tag, repr(float(values[place])))
        points.append(node)
    points.set("count", str(line.size))


def shrunk(root, factors):
    """Lines and pixels of calibration or noise vectors, as the averaged image counts them."""
    for node in root.iter():
        if node.tag in _LINES + _PIXELS:
            factor = factors[int(node.tag in _PIXELS)]
            places = (np.array(node.text.split(), float) + 0.5) * factor - 0.5
            node.text = " ".join(str(int(p)) for p in np.round(places))
    return root


def manifest(files, ring, ipf, minute, bands):
    """The template's manifest with another footprint, processor and time."""
    text = files["manifest.safe"].decode()
    text = re.sub(r'(name="Sentinel-1 IPF" version=")[\d.]+', rf"\g<1>{ipf}", text)
    text = re.sub(r"2020-07-08T18:2(?=[67]:)", minute, text)
    corners = " ".join(f"{lat},{lon}" for lat, lon in ring)
    text = re.sub(r"(<gml:coordinates>)[^<]*", rf"\g<1>{corners}", text)
    for band in {"VV", "VH"} - set(bands):
        text = re.sub(rf"<s1sarl1:transmitterReceiverPolarisation>{band}<[^>]*>", "", text)
    return text.encode()


def kerala_measurements(shared):
    return sorted(shared.glob("s1_grd_measurement/*/measurement/*.tiff"))


def kerala(shared, folder, turn=None):
    """The product over Kerala as a SAFE folder; see the head of this file.

    `turn` is done to the pixels, and not to the control points: (y, x) → (y, x).
    """
    files = template(shared)
    stem = "S1A_IW_GRDH_1SDV_20180716T004042_20180716T004107_022812_02792A_FD5B"
    product = folder / f"{stem}.SAFE"
    for path in kerala_measurements(shared):
        band = path.stem[-2:]
        with quiet(), rasterio.open(path) as dataset:
            numbers, (points, _) = dataset.read(1), dataset.gcps
            (ipf,) = re.findall(r"(\d+\.\d+)$", dataset.tags()["TIFFTAG_SOFTWARE"])
        factors = np.array(numbers.shape) / FULL
        image = f"s1a-iw-grd-{band}-20180716t004042-20180716t004107-022812-02792a-001"
        write_measurement(product, f"{image}.tiff", turn(numbers) if turn else numbers)
        for name, data in files.items():
            if f"-grd-{band}-" not in name:
                continue
            root = ET.fromstring(data)
            folder_, kind = name.rsplit("/", 1)[0], name.rsplit("/", 1)[1].split("s1a")[0]
            if not kind:
                set_text(root, "imageAnnotation/imageInformation/numberOfLines", numbers.shape[0])
                set_text(root, "imageAnnotation/imageInformation/numberOfSamples", numbers.shape[1])
                for way, factor in zip(("azimuth", "range"), factors, strict=True):
                    where = f"imageAnnotation/imageInformation/{way}PixelSpacing"
                    set_text(root, where, float(root.findtext(where)) / float(factor))
                table = np.array([(p.row, p.col, p.x, p.y) for p in points]).reshape(-1, 21, 4)
                line, pixel, lon, lat = np.moveaxis(table, -1, 0)
                # A control point belongs to the centre of a pixel of the whole image, which lies
                # half a large pixel from the corner of the averaged one less half a small one.
                shift = 0.5 - factors / 2
                control_points(root, line - shift[0], pixel - shift[1], lon, lat)
            else:
                shrunk(root, factors)
            write(product, f"{folder_}/{kind}{image}.xml", root)
    ring = [(p.y, p.x) for p in (points[0], points[20], points[209], points[189])]
    write(product, "manifest.safe", manifest(files, ring, ipf, "2018-07-16T00:4", ("VV", "VH")))
    return product


def angra(shared, folder, turn=None):
    """The crop at Angra do Heroísmo as a SAFE folder; see the head of this file and `kerala`."""
    files = template(shared)
    (annotation,) = (shared / "s1_slc_orbit").glob("*.xml")
    (crop,) = (shared / "s1_slc_orbit").glob("*.tiff")
    with quiet(), rasterio.open(crop) as dataset:
        numbers = np.round(np.abs(dataset.read(1))).astype(np.uint16)
    root = ET.parse(annotation).getroot()
    lines, samples = numbers.shape
    per_burst = int(root.findtext("swathTiming/linesPerBurst"))
    burst = root.findall("swathTiming/burstList/burst")[BURST]
    image = "imageAnnotation/imageInformation/"
    interval = float(root.findtext(image + "azimuthTimeInterval"))
    start = np.datetime64(burst.findtext("azimuthTime"), "ns")
    first = start + np.timedelta64(round((CROP[0] - BURST * per_burst) * interval * 1e9), "ns")
    last = first + np.timedelta64(round((lines - 1) * interval * 1e9), "ns")
    spacing = float(root.findtext(image + "rangePixelSpacing"))
    near_s = float(root.findtext(image + "slantRangeTime")) + CROP[1] * spacing * 2 / 299_792_458.0
    set_text(root, "adsHeader/productType", "GRD")
    set_text(root, image + "numberOfLines", lines)
    set_text(root, image + "numberOfSamples", samples)
    set_text(root, image + "productFirstLineUtcTime", first)
    set_text(root, image + "productLastLineUtcTime", last)
    set_text(root, image + "slantRangeTime", repr(near_s))
    records = root.find("coordinateConversion/coordinateConversionList")
    if records is None:
        records = ET.SubElement(
            ET.SubElement(root, "coordinateConversion"), "coordinateConversionList"
        )
    near_m = near_s * 299_792_458.0 / 2
    record = ET.SubElement(records, "coordinateConversion")
    for tag, text in {
        "azimuthTime": str(first), "gr0": "0", "sr0": repr(near_m),
        "srgrCoefficients": "0 1", "grsrCoefficients": f"{near_m!r} 1",
    }.items():  # fmt: skip
        ET.SubElement(record, tag).text = text
    records.set("count", "1")
    # Of the geolocation grid, the rows at the burst's ends; lines of a complex image begin anew
    # with each burst, those of this crop follow time.
    points = root.find("geolocationGrid/geolocationGridPointList")
    for node in list(points):
        row = int(node.findtext("line")) // per_burst
        if row not in (BURST, BURST + 1):
            points.remove(node)
            continue
        # Where the row's burst begins on the time line of this one.
        other = np.datetime64(
            root.findall("swathTiming/burstList/burst")[row].findtext("azimuthTime"), "ns"
        )
        line = (other - first) / np.timedelta64(1, "ns") * 1e-9 / interval
        set_text(node, "line", repr(float(line)))
        set_text(node, "pixel", repr(float(node.findtext("pixel")) - CROP[1]))
    points.set("count", str(len(points)))
    stem = "S1A_IW_GRDH_1SSV_20220918T074939_20220918T074940_045056_056232_62D6"
    product = folder / f"{stem}.SAFE"
    name = "s1a-iw-grd-vv-20220918t074939-20220918t074940-045056-056232-001"
    write_measurement(product, f"{name}.tiff", turn(numbers) if turn else numbers)
    write(product, f"annotation/{name}.xml", root)
    # Lent by another product, whose name the reader would refuse.
    calibration = next(v for k, v in files.items() if "calibration-s1a-iw-grd-vv" in k)
    lent = ET.fromstring(calibration) if isinstance(calibration, str | bytes) else calibration
    for tag in (
        "missionId",
        "polarisation",
        "absoluteOrbitNumber",
        "missionDataTakeId",
        "startTime",
    ):
        set_text(lent, f"adsHeader/{tag}", root.findtext(f"adsHeader/{tag}"))
    write(product, f"annotation/calibration/calibration-{name}.xml", lent)
    ring = [(38.7, -27.3), (38.7, -27.1), (38.6, -27.1), (38.6, -27.3)]
    write(product, "manifest.safe", manifest(files, ring, "003.52", "2022-09-18T07:4", ("VV",)))
    return product


def turns():
    """The eight ways to turn and mirror a raster into its own shape: name → function."""

    def turned(flip_y, flip_x, transpose):
        def turn(image):
            out = image
            if transpose:
                rows, cols = (np.arange(n) for n in image.shape)
                rows = rows * image.shape[1] // image.shape[0]
                cols = cols * image.shape[0] // image.shape[1]
                out = image.T[np.ix_(rows, cols)]
            return np.ascontiguousarray(out[:: -1 if flip_y else 1, :: -1 if flip_x else 1])

        return turn

    return {
        f"{'transposed ' * t}{'lines reversed ' * y}{'pixels reversed' * x}".strip() or "as it is":
        turned(y, x, t)
        for t in (False, True) for y in (False, True) for x in (False, True)
    }  # fmt: skip


def item_of(product, bands):
    return locked_item(read_product(Path(product)), bands, Files(False))
