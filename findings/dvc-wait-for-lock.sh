#!/usr/bin/env bash
# `dvc --wait-for-lock repro b` fails at once while another `dvc repro a` works, though a and b have nothing in common but a
# stage above both that is up to date. With --single-item it works.
#
# A good engineer's guess: the option makes the second command wait where it has to, and here there is nothing to wait for: DVC
# holds its lock of the repository only between the commands of stages, which is what makes `dvc repro` in several terminals
# possible. But --wait-for-lock is about that lock alone. The second command first looks at the stage above, for which DVC asks
# to be the only one that uses its output; the first command holds it as a dependency that is being read; and of these locks of
# single paths none is waited for. Shown with DVC 3.67.1: "... is busy, it is being blocked by", exit status 255.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check dvc==3.67.1
dvc=$work/venv/bin/dvc

mkdir project
cd project
"$dvc" init --quiet --no-scm
cat >dvc.yaml <<'YAML'
stages:
  above: {cmd: echo 1 > above.txt, outs: [above.txt]}
  a: {cmd: "touch begun; until [ -e go ]; do sleep 0.1; done; cp above.txt a.txt", deps: [above.txt], outs: [a.txt]}
  b: {cmd: cp above.txt b.txt, deps: [above.txt], outs: [b.txt]}
YAML
"$dvc" repro --quiet above

"$dvc" --wait-for-lock repro --quiet a &
until [ -e begun ]; do kill -0 $! && sleep 0.1; done
status=0
said=$("$dvc" --wait-for-lock repro b 2>&1) || status=$?
alone=0
"$dvc" --wait-for-lock repro --quiet --single-item b || alone=$?
touch go
first=0
wait $! || first=$?

echo "$said" | grep -m 1 "is busy"
echo "dvc $("$dvc" --version): b while a works: exit $status; b as a single item: exit $alone; a: exit $first"
[ "$status" = 255 ] && [ "$alone" = 0 ] && [ "$first" = 0 ] && [ -s a.txt ] && [ -s b.txt ]
