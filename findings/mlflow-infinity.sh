#!/usr/bin/env bash
# MLflow: a metric of infinity comes back from its database as 1.8e308, and one of nan matches no comparison but "not equal".
#
# A good engineer's guess: a loss that ran away to infinity is found as such, with math.isinf or in a filter. It is a large
# finite number afterwards, so isinf says no, and a mean over runs is spoilt without a word.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check mlflow==3.17.2
export MLFLOW_TRACKING_URI="sqlite:///$work/mlflow.db" MLFLOW_DISABLE_TELEMETRY=true
unset MLFLOW_RUN_ID MLFLOW_EXPERIMENT_NAME MLFLOW_EXPERIMENT_ID

venv/bin/python - 2> log <<'PY' || { cat log >&2; exit 1; }
import math

import mlflow

with mlflow.start_run() as run:
    mlflow.log_metrics({"loss": math.inf, "score": math.nan})
loss = mlflow.get_run(run.info.run_id).data.metrics["loss"]
found = {
    words: len(mlflow.search_runs(filter_string=f"metrics.{words}"))
    for words in ("score > 0", "score <= 0", "score != 0", "loss > 1e308")
}

print("mlflow", mlflow.__version__)
print("logged inf, read", loss)
print("runs found:", found)
assert loss == 1.7976931348623157e308 and not math.isinf(loss)
assert found == {"score > 0": 0, "score <= 0": 0, "score != 0": 1, "loss > 1e308": 1}
PY
