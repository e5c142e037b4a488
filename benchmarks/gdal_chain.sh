#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# GDAL's command-line tools: one VRT of all bands, one warp, one cut into patches.
# Usage: gdal_chain.sh OUTPUT "XMIN YMIN XMAX YMAX" "WIDTH HEIGHT" FILE...
set -eu
output=$1 extent=$2 size=$3
shift 3
mkdir -p "$output/patches"
gdalbuildvrt -q -separate -resolution highest -r bilinear "$output/bands.vrt" "$@"
# shellcheck disable=SC2086
gdalwarp -q -multi -wo NUM_THREADS=2 -r bilinear -srcnodata 0 -dstnodata 0 -t_srs EPSG:4326 \
    -te $extent -ts $size -co TILED=YES -co BIGTIFF=YES "$output/bands.vrt" "$output/warped.tif"
gdal_retile.py -q -ps 128 128 -co COMPRESS=DEFLATE -co ZLEVEL=1 -co INTERLEAVE=BAND \
    -targetDir "$output/patches" "$output/warped.tif"
