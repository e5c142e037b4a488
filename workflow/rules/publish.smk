# What makes a folder of files a dataset that others can trust.
#
# in:  manifest.parquet, splits.json, dataset/ (images and labels), lock.json
# out: dataset/ (card, statistics, checksums), deviations.json, validation/, report/


rule publish:
    input:
        lock=R.lock,
        manifest=R.manifest,
        dates=R.dates,
        splits=R.splits,
        layout=R.layout,
        stacks=all_stacks,
        settings=R.settings("publish"),
    output:
        R.statistics,
        R.deviations,
        R.checksums,
    log:
        R.log("publish"),
    conda:
        "../../envs/terrapatch.yaml"
    threads: 2
    resources:
        mem_mb=1500,
    params:
        root=results_folder,
    shell:
        "terrapatch publish {params.root:q} --threads {threads} 2> {log:q}"


rule training:
    input:
        manifest=R.manifest,
        dates=R.dates,
        statistics=R.statistics,
        stacks=all_stacks,
        settings=R.settings("training"),
    output:
        R.metrics,
        R.predictions,
    log:
        R.log("training"),
    conda:
        "../../envs/terrapatch.yaml"
    threads: 2
    resources:
        mem_mb=3000,
    params:
        root=results_folder,
    shell:
        "terrapatch training {params.root:q} --threads {threads} 2> {log:q}"


rule report:
    input:
        lock=R.lock,
        manifest=R.manifest,
        dates=R.dates,
        splits=R.splits,
        layout=R.layout,
        statistics=R.statistics,
        stacks=all_stacks,
        checksums=R.checksums,
        deviations=R.deviations,
        metrics=R.metrics,
        predictions=R.predictions,
        settings=R.settings("publish"),
    output:
        R.report,
    log:
        R.log("report"),
    conda:
        "../../envs/terrapatch.yaml"
    params:
        root=results_folder,
    shell:
        "terrapatch report {params.root:q} 2> {log:q}"


# After the report, so that a model that fails can be looked at.
rule validate:
    input:
        metrics=R.metrics,
        report=R.report,
    output:
        R.passed,
    log:
        R.log("validate"),
    conda:
        "../../envs/terrapatch.yaml"
    params:
        root=results_folder,
    shell:
        "terrapatch validate {params.root:q} 2> {log:q}"
