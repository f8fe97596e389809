"""The data, from files to batches: what is measured, in the order of the pipeline."""

from collections.abc import Callable
from functools import partial
from typing import get_args

from bench import decoding, grouping, ingesting, loading
from bench.peak_memory import PROCESSES
from bench.results import Result
from echosynth.common.options import Precision
from echosynth.config.parameters import Params


def measurements(params: Params, quick: bool, auto: Precision) -> list[Callable[[], Result | list[Result]]]:
    """All of them.

    Args:
        params: as for the pipeline.
        quick: tiny sizes, to see that it works.
        auto: for measurements of networks; no matter here.
    """
    groups = grouping.QUICK if quick else grouping.Sizes()
    cines = decoding.QUICK if quick else decoding.Sizes()
    files = ingesting.QUICK if quick else ingesting.Sizes()
    batches = loading.QUICK if quick else loading.Sizes()
    return [
        *(partial(grouping.measure_grouping, groups, case, params.review.alpha) for case in get_args(grouping.Case)),
        *(
            partial(decoding.measure_decoding, cines, codec, length, shape, wanted)
            for codec in decoding.CONTAINERS
            for shape in cines.shapes
            for length in cines.lengths
            for wanted in get_args(decoding.Wanted)
        ),
        *(partial(decoding.measure_apart, params, cines, *file) for file in decoding.APART),
        partial(ingesting.measure_ingest, params, files, "echonet-dynamic"),
        partial(ingesting.measure_ingest, params, files, "echonet-lvh"),
        partial(ingesting.measure_ingest, params, files, "tmed2"),
        partial(loading.measure_loading, batches),
        *(partial(ingesting.measure_memory, count) for count in files.memory_files if PROCESSES.is_dir()),
    ]
