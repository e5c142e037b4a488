# SPDX-License-Identifier: Apache-2.0
"""Orbit files for tests."""

import numpy as np


def write_orbit(path, annotation, late_s=0.0):
    """An orbit file of the annotation's own state vectors, their times moved."""
    orbit = annotation.orbit
    vectors = []
    for time_s, place, speed in zip(orbit.time_s, orbit.position, orbit.velocity, strict=True):
        moment = annotation.epoch + np.timedelta64(round((time_s + late_s) * 1e6), "us")
        numbers = zip(("X", "Y", "Z", "VX", "VY", "VZ"), (*place, *speed), strict=True)
        inside = "".join(f"<{tag}>{value:.6f}</{tag}>" for tag, value in numbers)
        vectors.append(
            f"<OSV><UTC>UTC={np.datetime_as_string(moment, unit='us')}</UTC>{inside}</OSV>"
        )
    path.write_text(
        "<Earth_Explorer_File><Earth_Explorer_Header><Fixed_Header><Mission>Sentinel-1A</Mission>"
        "<File_Type>AUX_POEORB</File_Type></Fixed_Header><Variable_Header>"
        "<Ref_Frame>EARTH_FIXED</Ref_Frame><Time_Reference>UTC</Time_Reference></Variable_Header>"
        "</Earth_Explorer_Header><Data_Block><List_of_OSVs>"
        f"{''.join(vectors)}</List_of_OSVs></Data_Block></Earth_Explorer_File>"
    )
    return str(path)
