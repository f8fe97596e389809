"""A classifier behind HTTP: what MLflow's scoring server answers, without what it says too much or too late.

POST /invocations takes {"inputs": [...]} in JSON and answers {"predictions": [...]}; see
`echosynth.serving.requests.read_inputs` and `echosynth.serving.served_requests.answers`. What is wrong with a request
is said with a status from 400 to 499 in the form {"error_code": ..., "message": one sentence}. GET /ping, /health and
/version answer as MLflow's do.

Neither replies nor the log hold anything of a request, a path or a stack trace. A request is read up to a limit and
understood in a child process with limits; one client has one request at work at a time, so that others find a place,
and few connections.
"""

import asyncio
import logging
import socket
import sys
import threading
import traceback
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from weakref import WeakValueDictionary

import h11
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from uvicorn.protocols.http.h11_impl import H11Protocol

from echosynth.common.errors import EchosynthError
from echosynth.media.options import DecodingParams
from echosynth.serving.options import MAX_BODY, SERVED
from echosynth.serving.served_requests import READERS, answers_to_json
from echosynth.serving.view_classifier import ViewClassifier

BODY_SECONDS: Final = 120.0  # for all of a request to arrive
HEAD_SECONDS: Final = 10.0  # for its headers
LAST_SECONDS: Final = 3  # for what is at work when the server is stopped
WAITING: Final = 16  # requests of one client that may wait
CONNECTIONS: Final = 32  # of one client: more than may wait, so that those are told why
ALL_CONNECTIONS: Final = 512  # with those below: a process may have 1,024 files open on many machines
BACKLOG: Final = 256  # connections that are taken at once, before they are counted
BAD, FAILED = "BAD_REQUEST", "INTERNAL_ERROR"  # MLflow's words
CODES = {400: BAD, 408: BAD, 413: BAD, 415: BAD, 429: "REQUEST_LIMIT_EXCEEDED", 500: FAILED}


class _Refused(Exception):
    """A request that gets a status and a sentence."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class _Turns:
    """Who is next: one request of a client at a time."""

    def __init__(self) -> None:
        self._clients: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._waiting: Counter[str] = Counter()

    @asynccontextmanager
    async def of(self, client: str) -> AsyncIterator[None]:
        """Wait for the client's turn."""
        if self._waiting[client] >= WAITING:
            raise _Refused(429, f"{WAITING} requests of this client wait; send the next one when one is answered")
        lock = self._clients.setdefault(client, asyncio.Lock())
        self._waiting[client] += 1
        try:
            async with lock:
                yield
        finally:
            self._waiting[client] -= 1
            if not self._waiting[client]:
                del self._waiting[client]


class _Parser(h11.Connection):
    """Bodies of a known length alone: others may come as chunks of one byte each, which block the event loop."""

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request) and any(name == b"transfer-encoding" for name, _ in event.headers):
            raise h11.RemoteProtocolError("Transfer-Encoding")
        return event


class _Protocol(H11Protocol):
    """A connection that a client has a few of, and that does not wait for ever.

    What it overrides is uvicorn's own, of which tests tell whether another version still has it.
    """

    _timer: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = _Parser(h11.SERVER)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.host = self.client[0] if self.client else ""
        same = [each for each in self.connections if isinstance(each, _Protocol) and each.host == self.host]
        if len(same) > CONNECTIONS or len(self.connections) > ALL_CONNECTIONS:
            self._refuse(429, f"too many connections are open (one client may have {CONNECTIONS}); close some")
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._timer:
            self._timer.cancel()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls where the parser finds something wrong."""
        self._refuse(400, "this is no HTTP request of known length; send the header Content-Length, and no chunks")

    def _watch(self) -> None:
        """While no request is at work, wait a while for the next one, or for the rest of one that was refused."""
        at_work = self.cycle is not None and not self.cycle.response_complete
        if at_work and self._timer:
            self._timer.cancel()
            self._timer = None
        elif not at_work and not self._timer:
            seconds = HEAD_SECONDS if self.conn.their_state is h11.IDLE else BODY_SECONDS
            self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _refuse(self, status: int, words: str) -> None:
        """Answer before there is a request."""
        body = bytes(_refusal(status, words).body)
        head = f"HTTP/1.1 {status} \r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self.transport.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        self.transport.close()


async def _body(request: Request, most: int) -> bytearray:
    """What was sent, as far as it is allowed."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _Refused(415, "the header Content-Type is not application/json; send JSON and say so")
    length = request.headers.get("content-length", "0")
    found = bytearray()
    too_large = f"the request is larger than {most // 2**20} MiB; send less at a time"
    if length.isdecimal() and int(length) > most:
        raise _Refused(413, too_large)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                found += part
                if len(found) > most:
                    raise _Refused(413, too_large)
    except TimeoutError:
        raise _Refused(408, f"the request did not arrive within {BODY_SECONDS:g} s; send less at a time") from None
    return found


def _answer(
    classifier: ViewClassifier, body: bytearray, limits: DecodingParams, stopped: threading.Event
) -> JSONResponse:
    """Answer a request in a thread of its own.

    Nothing is raised to the event loop: an exception on its way through it refers to itself, and with it to the body.
    """
    try:
        return JSONResponse({"predictions": answers_to_json(classifier, body, limits, stopped)})
    except EchosynthError as error:
        return _refusal(400, str(error))
    except Exception as error:
        # A trace with its message might quote the request.
        place = traceback.extract_tb(error.__traceback__)[-1]
        print(f"a request failed: {type(error).__name__} in {place.name}, line {place.lineno}", file=sys.stderr)
        return _refusal(500, "the server failed over this request; its log says where")


def application(classifier: ViewClassifier, limits: DecodingParams = SERVED, most: int = MAX_BODY) -> FastAPI:
    """Make the ASGI application.

    Args:
        classifier: a trained network with its preprocessing.
        limits: what a request may use.
        most: bytes of a request.
    """

    stopped = threading.Event()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        READERS.warm()
        try:
            yield
        finally:  # uvicorn ends this process by the signal that it was sent
            stopped.set()
            READERS.end()

    # No pages, which would load scripts from elsewhere, and no redirects, which would believe the header Host.
    app = FastAPI(lifespan=lifespan, openapi_url=None, redirect_slashes=False)
    turns = _Turns()

    @app.get("/ping")
    @app.get("/health")
    async def ping() -> Response:
        return PlainTextResponse("\n")

    @app.get("/version")
    async def version() -> Response:
        from importlib.metadata import version

        return PlainTextResponse(version("mlflow"))

    @app.post("/invocations")
    async def invocations(request: Request) -> Response:
        try:
            async with turns.of(request.client.host if request.client else ""):
                return await run_in_threadpool(_answer, classifier, await _body(request, most), limits, stopped)
        except _Refused as error:
            return _refusal(error.status, str(error))
        except ClientDisconnect:  # nobody hears it
            return Response(status_code=400)

    return app


def _refusal(status: int, words: str) -> JSONResponse:
    return JSONResponse({"error_code": CODES[status], "message": words}, status)


def listening(host: str, port: int) -> socket.socket:
    """Take a port before anything is loaded.

    Args:
        host: name or address of this machine.
        port: 0 for any that is free.

    Raises:
        EchosynthError: it is taken, or the host is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise EchosynthError(f"--host {host} --port {port} cannot be used ({error}); name another port") from None


def serve(app: FastAPI, taken: socket.socket) -> None:
    """Answer requests at a port until Ctrl-C or SIGTERM."""
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # else a trace for each connection that finds no file left
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",  # another protocol would know none of the limits
        log_level="critical",
        access_log=False,
        proxy_headers=False,  # X-Forwarded-For is not believed: it would make many clients of one
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=LAST_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[taken])
