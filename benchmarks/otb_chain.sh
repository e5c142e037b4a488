#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Orfeo ToolBox as S1Tiling calls it: σ⁰ without noise, then one resampling onto the tile, with a
# deformation grid of 40 m. One polarisation; no patch cut.
# Usage: otb_chain.sh OUTPUT MEASUREMENT DEM_FOLDER EPSG LEFT TOP WIDTH HEIGHT SPACING
set -eu
output=$1 measurement=$2 dem=$3 epsg=$4 left=$5 top=$6 width=$7 height=$8 spacing=$9
mkdir -p "$output"
otbcli_SARCalibration -in "$measurement" -out "$output/calibrated.tif" float \
    -removenoise true -lut sigma -ram 2048
otbcli_OrthoRectification -io.in "$output/calibrated.tif" -io.out "$output/tile.tif" float \
    -map epsg -map.epsg.code "$epsg" -outputs.ulx "$left" -outputs.uly "$top" \
    -outputs.sizex "$width" -outputs.sizey "$height" -outputs.spacingx "$spacing" \
    -outputs.spacingy "-$spacing" -elev.dem "$dem" -interpolator linear -opt.gridspacing 40 \
    -opt.ram 2048
