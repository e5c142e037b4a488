# SPDX-License-Identifier: Apache-2.0
"""The chains of the Sentinel-1 benchmark, and their table."""

import shutil
import statistics
import sys
from pathlib import Path

from measure import Cost
from radar_scene import PLAIN_WINDOWS_PX, RadarInput

HERE = Path(__file__).parent
NAMES = {
    "s1": "terrapatch, VV and VH (2 threads)",
    "s1-1": "terrapatch, VV and VH (1 thread)",
    "s1-vv": "terrapatch, VV alone (1 thread)",
    "s1-half": "terrapatch, VV and VH, half a tile (1 thread)",
    "s1-quarter": "terrapatch, VV and VH, a quarter of a tile (1 thread)",
    "otb": "OTB as S1Tiling calls it: calibration, ortho-rectification; VV",
    **{
        f"sarsen-{side}": f"plain sarsen, VV, window of {side} × {side} px"
        for side in PLAIN_WINDOWS_PX
    },
}
SAME = ("s1", "s1-1")
"""Chains whose stacks must have the same bits."""


def available(names: list[str]) -> list[str]:
    """The chains whose programs are installed; says which are not."""
    if "otb" in names and not shutil.which("otbcli_OrthoRectification"):
        print("otb-bin is not installed: Orfeo ToolBox is left out")
        names = [name for name in names if name != "otb"]
    try:
        import sarsen  # noqa: F401
    except ImportError:
        print("sarsen is not installed: it is left out")
        names = [name for name in names if not name.startswith("sarsen")]
    return names


def commands(data: RadarInput, out: Path) -> dict[str, list[str | Path]]:
    """The command of each chain; `out` is where it writes."""
    python, stage = sys.executable, HERE / "bench_sentinel1.py"
    box, (height, width) = data.geobox.boundingbox, data.geobox.shape
    ours = {
        name: [python, stage, *data.unit(share, bands).arguments, out, threads]
        for name, share, bands, threads in (
            ("s1", 1.0, ("VV", "VH"), "2"),
            ("s1-1", 1.0, ("VV", "VH"), "1"),
            ("s1-vv", 1.0, ("VV",), "1"),
            ("s1-half", 0.5, ("VV", "VH"), "1"),
            ("s1-quarter", 0.25, ("VV", "VH"), "1"),
        )
    }
    return {
        **ours,
        "otb": [
            HERE / "otb_chain.sh", out, data.item.assets["VV"].href, data.dem.parent,
            str(data.geobox.crs.to_epsg()), str(box.left), str(box.top), str(width), str(height),
            str(data.geobox.affine.a),
        ],
        **{
            f"sarsen-{side}": [
                python, HERE / "plain_sarsen.py", data.product, "VV", heights, out,
            ]
            for side, heights in data.window_dems.items()
        },
    }  # fmt: skip


def table(data: RadarInput, costs: dict[str, list[Cost]]) -> str:
    """Markdown table: medians, what a megapixel and a polarisation cost; then the ratios."""
    middle = {
        name: {
            field: statistics.median(getattr(c, field) for c in runs)
            for field in ("wall_s", "cpu_s", "peak_mib", "load")
        }
        for name, runs in costs.items()
    }
    lines = [
        "| chain | Mpx | wall s | CPU s | CPU s / Mpx and polarisation | peak MiB | load before |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    size = {name: megapixels(data, name) for name in middle}
    for name, cost in middle.items():
        each = (
            cost["cpu_s"] / size[name] / (2 if name in SAME or "-h" in name or "-q" in name else 1)
        )
        lines.append(
            f"| {NAMES[name]} | {size[name]:.1f} | {cost['wall_s']:.1f} | {cost['cpu_s']:.1f} | "
            f"{each:.3f} | {cost['peak_mib']:.0f} | {cost['load']:.1f} |"
        )
    return "\n".join([*lines, "", *_ratios(middle, size)])


def megapixels(data: RadarInput, name: str) -> float:
    """Pixels of a chain's result, one polarisation."""
    if name.startswith("sarsen"):
        return int(name.split("-")[1]) ** 2 / 1e6
    if name == "otb":
        return float(data.geobox.shape[0] * data.geobox.shape[1] / 1e6)
    share = {"s1-half": 0.5, "s1-quarter": 0.25}.get(name, 1.0)
    return data.unit(share).pixels / 1e6


def _ratios(middle: dict[str, dict[str, float]], size: dict[str, float]) -> list[str]:
    """What follows from the rows that were run."""
    found = []
    if {"s1-1", "s1-half", "s1-quarter"} <= middle.keys():
        whole, half, quarter = (
            (size[n], middle[n]["cpu_s"]) for n in ("s1-1", "s1-half", "s1-quarter")
        )
        low = (half[1] - quarter[1]) / (half[0] - quarter[0])
        high = (whole[1] - half[1]) / (whole[0] - half[0])
        found.append(
            f"Linear in area: from a quarter to half a tile each Mpx of both polarisations costs "
            f"{low:.3f} CPU s, from half a tile to a whole one {high:.3f}."
        )
    windows = [f"sarsen-{side}" for side in sorted(PLAIN_WINDOWS_PX)]
    if set(windows) <= middle.keys():
        small, large = windows[0], windows[-1]
        pace = (middle[large]["cpu_s"] - middle[small]["cpu_s"]) / (size[large] - size[small])
        tile = size.get("s1-vv") or size.get("s1-1") or 115.6
        whole = middle[large]["cpu_s"] + pace * (tile - size[large])
        line = (
            f"sarsen, extrapolated: {pace:.2f} CPU s for each further Mpx between the two windows, "
            f"so {whole:.0f} CPU s for the {tile:.1f} Mpx of one polarisation"
        )
        ours = middle.get("s1-vv")
        if ours:
            line += f", {whole / ours['cpu_s']:.0f} times what terrapatch takes for VV alone"
        found.append(line + ".")
    if {"otb", "s1-vv"} <= middle.keys():
        ratio = middle["otb"]["cpu_s"] / middle["s1-vv"]["cpu_s"]
        found.append(f"OTB takes {ratio:.1f} times the CPU of terrapatch for VV alone.")
    return found
