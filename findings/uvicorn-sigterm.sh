#!/usr/bin/env bash
# After SIGTERM uvicorn.run() never returns: no line after it, no `finally` round it and no atexit handler runs.
#
# A good engineer's guess: uvicorn handles SIGTERM (it ends open requests and the application's lifespan), then run() returns as
# any call does, and whoever called it cleans up: child processes, temporary files. But when it is done it sends itself the signal
# again, with Python's default handler, which ends the process at once. Only the application's own lifespan hears of it. After
# Ctrl-C the same shows as a KeyboardInterrupt out of run(). Shown on an empty application.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check uvicorn==0.54.0

cat > serve.py <<'PY'
import atexit
import os
import signal
import socket
import sys

import uvicorn


async def app(scope, receive, send):
    while scope["type"] == "lifespan":
        if (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
            os.kill(os.getpid(), int(sys.argv[1]))
        else:
            print("lifespan", end=" ")
            await send({"type": "lifespan.shutdown.complete"})
            sys.stdout.flush()
            return


atexit.register(lambda: print("atexit", end=" "))
try:
    uvicorn.Server(uvicorn.Config(app, log_level="critical")).run(sockets=[socket.create_server(("127.0.0.1", 0))])
finally:
    print("finally", end=" ")
PY
venv/bin/python -c 'import uvicorn; print("uvicorn", uvicorn.__version__)'
status=0
terminated=$(venv/bin/python serve.py 15 2> /dev/null) || status=$?
interrupted=$(venv/bin/python serve.py 2 2> interrupted.txt) || true
echo "SIGTERM: what ran: $terminated; exit status $status"
echo "Ctrl-C: what ran: $interrupted; $(tail -n 1 interrupted.txt)"
grep -q KeyboardInterrupt interrupted.txt
[ "$terminated" = "lifespan " ] && [ "$status" = 143 ]
