#!/usr/bin/env bash
# The first optimiser imports PyTorch's compiler, whether anything is compiled or not.
#
# A good engineer's guess: `import torch` is the dear part (1.3 s here), and making an SGD of one number costs nothing. Optimizer's
# __init__ adds its group of parameters through a function that is kept out of compiled code, and the wrapper that keeps it
# out imports torch._dynamo at its first call: hundreds of modules, SymPy among them, and as much processor time again. Each
# short training pays it, and each test that starts one in a process of its own; imported before a fork it is paid once.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

venv/bin/python - <<'PY'
import sys
import time

start = time.process_time()
import torch

imported, before = time.process_time(), set(sys.modules)
assert "torch._dynamo" not in before
torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
made, fresh = time.process_time(), set(sys.modules) - before
print(f"torch {torch.__version__}: import {imported - start:.1f} s of processor time, the first SGD {made - imported:.1f} s")
print(f"{len(fresh)} modules more, of SymPy {sum(name.startswith('sympy') for name in fresh)}")
assert {"torch._dynamo", "sympy"} <= fresh
assert len(fresh) > 500
PY
