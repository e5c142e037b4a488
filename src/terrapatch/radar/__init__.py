# SPDX-License-Identifier: Apache-2.0
"""Hands of radar: the XML of Sentinel-1 products, orbits, and the geometry of range and Doppler."""
