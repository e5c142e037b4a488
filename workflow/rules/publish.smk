# What makes a folder of files a dataset that others can trust.
#
# in:  manifest.parquet, splits.json, dataset/ (images and labels), lock.json
# out: dataset/ (card, statistics, checksums), deviations.json, validation/, report/


rule publish:
    input:
        due=due("publish"),
        lock=ancient(R.lock),
        manifest=ancient(R.manifest),
        dates=ancient(R.dates),
        splits=ancient(R.splits),
        layout=ancient(R.layout),
        stacks=all_stacks,
    output:
        R.statistics,
        R.deviations,
        R.checksums,
        R.stamp("publish"),
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
        due=due("training"),
        manifest=ancient(R.manifest),
        dates=ancient(R.dates),
        statistics=ancient(R.statistics),
        stacks=all_stacks,
    output:
        R.metrics,
        R.predictions,
        R.stamp("training"),
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
        due=due("report"),
        lock=ancient(R.lock),
        manifest=ancient(R.manifest),
        dates=ancient(R.dates),
        splits=ancient(R.splits),
        layout=ancient(R.layout),
        statistics=ancient(R.statistics),
        stacks=all_stacks,
        checksums=ancient(R.checksums),
        deviations=ancient(R.deviations),
        metrics=ancient(R.metrics),
        predictions=ancient(R.predictions),
    output:
        R.report,
        R.stamp("report"),
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
        due=due("validate"),
        metrics=ancient(R.metrics),
        report=ancient(R.report),
    output:
        R.passed,
        R.stamp("validate"),
    log:
        R.log("validate"),
    conda:
        "../../envs/terrapatch.yaml"
    params:
        root=results_folder,
    shell:
        "terrapatch validate {params.root:q} 2> {log:q}"
