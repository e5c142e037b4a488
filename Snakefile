# SPDX-License-Identifier: Apache-2.0
# From raw scenes to a published dataset. Rules stand in the order of the flow;
# `docs/concepts.md` has the picture.
from snakemake.utils import min_version

min_version("9.21")


configfile: f"{workflow.basedir}/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/catalog.smk"
include: "workflow/rules/stacks.smk"
include: "workflow/rules/dataset.smk"
include: "workflow/rules/publish.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        R.checksums,
        R.report,
        R.passed,
