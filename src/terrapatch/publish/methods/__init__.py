# SPDX-License-Identifier: Apache-2.0
"""What was done to make the dataset, in sentences: `steps` joins those of the kinds of layers."""
