#!/usr/bin/env bash
# DVC and PyYAML read two things in one params.yaml: `yes` and `2e-05`.
#
# A good engineer's guess: what `dvc exp run -S` writes is what the stage reads with PyYAML. DVC writes and compares YAML 1.2,
# where `yes` is a text and 2e-05 a number; PyYAML reads YAML 1.1, where `yes` is true and 2e-05, without a dot, a text.
# A parameter that was a number so reaches the training as a text, and DVC has nothing against it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check dvc==3.67.1 pyyaml==6.0.3
export PATH="$work/venv/bin:$PATH" DVC_NO_ANALYTICS=1
unset DVC_ROOT

mkdir project && cd project
git init --quiet && git config user.name reader && git config user.email reader@example.org
dvc init --quiet
printf 'rate: 0.1\nword: no\n' > params.yaml
printf 'stages:\n  show:\n    cmd: python show.py\n    deps: [show.py]\n    params: [rate, word]\n' > dvc.yaml
printf 'import yaml\nprint("PyYAML:", yaml.safe_load(open("params.yaml")))\n' > show.py
git add . && git commit --quiet --message start

dvc exp run --quiet --set-param rate=2e-05 --set-param word=yes > /dev/null
dvc --version
cat params.yaml
python show.py
python - <<'PY'
import yaml
from dvc.utils.serialize import load_yaml

by_pyyaml = yaml.safe_load(open("params.yaml"))
by_dvc = load_yaml("params.yaml")
print("DVC:   ", by_dvc)
assert by_dvc == {"rate": 2e-05, "word": "yes"}
assert by_pyyaml == {"rate": "2e-05", "word": True}
PY
