"""`echosynth serve`: a classifier that answers over HTTP."""

import sys

import click

from echosynth.cli.shared import DISCLAIMER, model_option
from echosynth.media.options import LEAST_MEMORY, DecodingParams
from echosynth.serving.options import MAX_BODY, SERVED


@click.command()
@model_option
@click.option("--host", default="127.0.0.1", help="Address of this machine; 0.0.0.0 lets other machines in.")
@click.option("--port", default=8000, type=click.IntRange(0, 65535), help="0: any that is free.")
@click.option(
    "--memory",
    default=SERVED.memory,
    type=click.IntRange(LEAST_MEMORY),
    help="MiB that reading a request may take, at most.",
)
@click.option(
    "--seconds", default=SERVED.seconds, type=click.IntRange(1), help="Processor time that it may take, at most."
)
@click.option("--pixels", default=SERVED.pixels, type=click.IntRange(1), help="Pixels of a picture, at most.")
@click.option("--megabytes", default=MAX_BODY >> 20, type=click.IntRange(1), help="MiB of a request, at most.")
def run(model: str, host: str, port: int, memory: int, seconds: int, pixels: int, megabytes: int) -> int:
    """Answer requests: POST /invocations, as MLflow's scoring server does.

    It needs nothing but this project, keeps nothing of what it is sent, and limits what one client can use. Ctrl-C ends
    it.
    """
    limits = DecodingParams(memory=memory, seconds=seconds, pixels=pixels, usable=SERVED.usable)
    from echosynth.serving.server import application, listening, serve  # PyTorch takes seconds to import
    from echosynth.serving.view_classifier import ViewClassifier

    with listening(host, port) as taken:
        from echosynth.cli.predict import resolve_model

        folder = resolve_model(model)
        app = application(ViewClassifier(folder), limits, megabytes << 20)
        where = f"[{host}]" if ":" in host else host
        print(f"{model} answers at http://{where}:{taken.getsockname()[1]}/invocations; Ctrl-C ends it", flush=True)
        print(DISCLAIMER, file=sys.stderr)
        serve(app, taken)
    return 0
