# SPDX-License-Identifier: Apache-2.0
"""What tests are made of: scenes, products, maps, results, recipes and builds; a file for each."""
