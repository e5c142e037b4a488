# SPDX-License-Identifier: Apache-2.0
"""Calibration and noise files, made and real, for the tests of radar and radiometry."""

import zipfile

HEADER = "<adsHeader><polarisation>VV</polarisation></adsHeader>"


def vector(tag, line, pixels, **lists):
    def numbers(name, values):
        values = list(values)
        return f'<{name} count="{len(values)}">{" ".join(map(str, values))}</{name}>'

    body = "".join(numbers(name, values) for name, values in lists.items())
    return f"<{tag}><line>{line}</line>{numbers('pixel', pixels)}{body}</{tag}>"


def calibration_xml(*vectors):
    joined = "".join(vectors)
    return (
        f'<calibration>{HEADER}<calibrationVectorList count="{len(vectors)}">{joined}'
        "</calibrationVectorList></calibration>"
    ).encode()


def calibration_vector(line, pixels, sigma, beta=(400.0,)):
    beta = list(beta) * (len(pixels) if len(beta) == 1 else 1)
    return vector(
        "calibrationVector", line, pixels, sigmaNought=sigma, betaNought=beta, gamma=sigma, dn=beta
    )


def old_noise_xml(*vectors):
    return f"<noise>{HEADER}<noiseVectorList>{''.join(vectors)}</noiseVectorList></noise>".encode()


def new_noise_xml(ranges, blocks):
    return (
        f"<noise>{HEADER}<noiseRangeVectorList>{''.join(ranges)}</noiseRangeVectorList>"
        f"<noiseAzimuthVectorList>{''.join(blocks)}</noiseAzimuthVectorList></noise>"
    ).encode()


def block(swath, lines, pixels, at, factors):
    return (
        f"<noiseAzimuthVector><swath>{swath}</swath>"
        f"<firstAzimuthLine>{lines[0]}</firstAzimuthLine>"
        f"<firstRangeSample>{pixels[0]}</firstRangeSample>"
        f"<lastAzimuthLine>{lines[1]}</lastAzimuthLine>"
        f"<lastRangeSample>{pixels[1]}</lastRangeSample>"
        f'<line count="{len(at)}">{" ".join(map(str, at))}</line>'
        f'<noiseAzimuthLut count="{len(factors)}">{" ".join(map(str, factors))}</noiseAzimuthLut>'
        "</noiseAzimuthVector>"
    )


def products(shared):
    """Calibration and noise files of the real products: name → bytes."""
    found = {}
    for archive in sorted((shared / "s1_grd_safe").glob("*.zip")):
        with zipfile.ZipFile(archive) as members:
            for name in members.namelist():
                if "/annotation/calibration/" in name and name.endswith(".xml"):
                    found[name.rsplit("/", 1)[-1]] = members.read(name)
    for path in sorted((shared / "s1_grd_safe").glob("*.SAFE/annotation/calibration/*.xml")):
        found[path.name] = path.read_bytes()
    return found
