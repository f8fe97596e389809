"""Collect the data card: what the data are, where they come from and what was done to them, as numbers for others.

It follows the questions of Gebru et al., "Datasheets for Datasets" (Communications of the ACM 64, 2021): composition,
collection, preprocessing, uses, distribution. It holds no picture, no name of a recording and no id of a patient,
hashed or not, and no clock time: the same inputs give the same bytes.

Keys of data_card.json:
    version             of these keys: 1
    title               what the data set is
    simulated           true when the releases are the project's phantoms, so that no number says anything on patients
    uses                {"intended", "not_intended", "status", "distribution"}: sentences
    parameters          section -> parameter -> value, those that shape the data
    preprocessing       sentences: what was done to every picture
    images              {"all", "four_class", "shift", "train", "validation", "test"}: counts
    groups              kind (patient, study, cine, file) -> how many in all sources together
    sources             name -> see `_source`
    four_class          {"by_source": split -> source -> images, "by_view": split -> view -> images,
                        "by_source_and_view": source -> view -> images, "groups": split -> groups, "subsets": name ->
                        {"images", "by_view", "by_source"}}: tables 3.1, 3.2 and 3.4 of the study
    shift               source -> view -> images: table 3.3
    validation          source -> see `_screening`, for sources that hold cines
    duplicates          see `_duplicates`
    left_out            source -> reason -> files or rows
"""

from pathlib import Path

import numpy as np
import pandas as pd

from echosynth.common import paths
from echosynth.common.files import read_json
from echosynth.common.views import VIEWS
from echosynth.config.parameters import Params
from echosynth.imagesets.schema import DUPLICATES, read_csv
from echosynth.imagesets.store import read_manifest
from echosynth.report.data_card.screening import Review, decisions, read_review
from echosynth.report.tables import Json
from echosynth.sources.registry import find_source

CENTRAL = 0.95  # share of the files within the range of frame counts
# These change how the work is done, not what comes out, or are no one else's business.
PRIVATE = {"data": {"root", "salt_file", "salt_id"}, "ingest": {"backend", "dask_scheduler", "workers"}}
USES = {
    "intended": "Research on the classification of echocardiogram views and on generative models of echocardiograms.",
    "not_intended": (
        "Diagnosis, treatment or any other decision about a patient; measuring the heart; finding out who was examined."
    ),
    "status": "Research software, no medical device.",
    "distribution": (
        "Each release has terms of its own. They hold for its pictures and for what is made of them, the examples in "
        "the report included; the pictures are to be had from its publisher alone."
    ),
}


def folder_of(source: str, params: Params) -> Path:
    """Give the folder of a source's image set."""
    return (paths.SHIFT if source in params.data.shift_sources else paths.SOURCES) / source


def is_simulated(params: Params) -> bool:
    """Say whether the releases are phantoms, whose truth lies beside them."""
    root = params.data.root
    return paths.simulated(root) or (Path(root) / paths.TRUTH).is_file()


def _parameters(params: Params, simulated: bool) -> Json:
    """Choose the parameters that shape the data."""
    names = ["data", *(["phantom"] if simulated else []), "review", "ingest", "split"]
    content = params.model_dump(mode="json")
    return {
        name: {key: value for key, value in content[name].items() if key not in PRIVATE.get(name, ())} for name in names
    }


def _preprocessing(params: Params) -> str:
    """Say what was done to every picture."""
    settings = params.ingest
    frames = {
        "random": "one random frame is taken",
        "spaced": f"{settings.frames_per_cine} evenly spaced frames are taken",
        "dissimilar": "the quarter of the frames that is most unlike the others is taken",
        "marked": "the frames that the release marks as end diastole and end systole are taken, else a random one",
    }[settings.frames]
    small = {
        "cubic": "OpenCV's cubic kernel",
        "area-cubic": "OpenCV's cubic kernel, after averaging over areas where the crop is more than twice that size",
    }[settings.resampling]
    pixels = (
        "where pixels are not square they are resampled to the finer spacing"
        if settings.square_pixels
        else "pixels stay as they are stored, square or not"
    )
    return (
        f"Of each cine, {frames}; of stills, {settings.limits} where patients are known. "
        f"Pictures are turned to grey; {pixels}; the centre is "
        f"cropped to a square without a change of aspect and brought to {settings.size} x {settings.size} pixels "
        f"of 8 bits with {small}. Smaller pictures are enlarged and counted. Brightness and contrast stay "
        "as they are."
    )


def frame_statistics(counts: dict[str, int]) -> Json:
    """Summarise the number of frames in a file, from number of frames -> files.

    Returns:
        files, fewest, most, mean, median, low and high: the ends of the central 95 % of the files. All but the mean are
        numbers that occur.
    """
    frames, files = np.array([int(key) for key in counts]), np.array(list(counts.values()))
    tail = (1 - CENTRAL) / 2
    low, median, high = np.quantile(frames, (tail, 0.5, 1 - tail), weights=files, method="inverted_cdf")
    return {
        "files": int(files.sum()),
        "fewest": int(frames.min()),
        "most": int(frames.max()),
        "mean": round(float(np.average(frames, weights=files)), 2),
        "median": int(median),
        "low": int(low),
        "high": int(high),
    }


def _source(name: str, params: Params, manifest: pd.DataFrame, report: Json, rules: Json) -> Json:
    """Describe one source.

    Returns:
        title, role (four-class or shift), unit, licence, citation, images, views (view -> images), groups (kind ->
        groups), images_by_group_kind, native_sizes ("640x480" -> pictures), frame_counts (frames in a file -> files),
        frames (see `frame_statistics`), enlarged, selection, split ({"rule", "reason"}, None for a shift source),
        validation ({"method", "kept", "dropped", "by_reason"}), left_out (reason -> count), notes.
    """
    source = find_source(name)
    kinds = manifest.groupby("group_kind")["group"]
    return {
        "title": source.title,
        "role": "shift" if name in params.data.shift_sources else "four-class",
        "unit": source.unit,
        "licence": source.licence,
        "citation": source.citation,
        "images": len(manifest),
        "views": _views(manifest),
        "groups": {str(kind): int(groups.nunique()) for kind, groups in kinds},
        "images_by_group_kind": {str(kind): len(groups) for kind, groups in kinds},
        "native_sizes": report["native_sizes"],
        "frame_counts": report["frame_counts"],
        "frames": frame_statistics(report["frame_counts"]),
        "enlarged": report["enlarged"],
        "selection": report["selection"],
        "split": rules.get(name),
        "validation": report["validation"],
        "left_out": {reason: int(entry["count"]) for reason, entry in sorted(report["omitted"].items())},
        "notes": report["notes"],
    }


def _views(manifest: pd.DataFrame) -> dict[str, int]:
    counts = manifest["view"].value_counts()
    return {view: int(counts.get(view, 0)) for view in VIEWS}


def _duplicates(pairs: pd.DataFrame, summary: Json) -> Json:
    """Count pictures that are equal, or nearly so.

    Args:
        pairs: those across groups, see `echosynth.imagesets.schema.DUPLICATES`.
        summary: "duplicates" of data/split/metrics.json.

    Returns:
        kind (exact, near) -> {"across_groups", "across_views" (contradictory labels), "within_groups"}: pairs;
        linked_groups: groups that share a picture with another one; clusters: into how many sets these fall, each of
        which is in one split as a whole; largest_cluster: groups in the largest of them; torn_clusters: those that an
        official split would have divided; blank: pictures of one grey level, which are not compared.
    """
    kinds = {}
    for kind in ("exact", "near"):
        of_kind = pairs[pairs["kind"] == kind]
        across = {"across_groups": len(of_kind), "across_views": int((~of_kind["same_view"]).sum())}
        kinds[kind] = across | {"within_groups": summary["within_groups"][kind]}
    keys = ("linked_groups", "clusters", "largest_cluster", "torn_clusters", "blank")
    return kinds | {key: summary[key] for key in keys}


def _screening(review: Review) -> Json:
    """Summarise the screening of one source's recordings.

    Returns:
        recordings, groups: counts; decisions: see `echosynth.report.data_card.screening.decisions`; single: decision ->
        recordings about which a person decided apart from their group; on_phantoms: approach ->
        {"recall", "precision", "dropped", "outliers"}, None on real recordings, whose truth nobody knows.
    """
    return {
        "recordings": review.recordings,
        "groups": len(review.groups),
        "decisions": decisions(review.groups),
        "single": review.single,
        "on_phantoms": review.on_phantoms,
    }


def collect(params: Params) -> Json:
    """Collect the card from the pipeline's folders below the current one.

    Raises:
        EchosynthError: naming the first file that is missing or damaged.
    """
    train, shift = list(params.data.train_sources), list(params.data.shift_sources)
    manifests = {name: read_manifest(folder_of(name, params)) for name in (*train, *shift)}
    reports = {name: read_json(folder_of(name, params) / "report.json") for name in manifests}
    split = read_json(paths.SPLIT / "metrics.json")
    sizes = {name: len(manifest) for name, manifest in manifests.items()}
    used = {"four_class": sum(sizes[name] for name in train), "shift": sum(sizes[name] for name in shift)}
    sources = {
        name: _source(name, params, manifest, reports[name], split["rules"]) for name, manifest in manifests.items()
    }
    by_split = {name: sum(views.values()) for name, views in split["by_view"].items()}
    simulated = is_simulated(params)
    return {
        "version": 1,
        "title": "Echocardiogram views: " + ", ".join(source["title"] for source in sources.values()),
        "simulated": simulated,
        "uses": USES,
        "parameters": _parameters(params, simulated),
        "preprocessing": _preprocessing(params),
        "images": {"all": sum(used.values())} | used | by_split,
        "groups": _groups(sources),
        "sources": sources,
        "four_class": {
            "by_source": split["by_source"],
            "by_view": split["by_view"],
            "by_source_and_view": {name: sources[name]["views"] for name in train},
            "groups": split["groups"],
            "subsets": split["subsets"],
        },
        "shift": {name: sources[name]["views"] for name in shift},
        "validation": {
            name: _screening(read_review(name, params)) for name in manifests if find_source(name).has_cines
        },
        "duplicates": _duplicates(read_csv(paths.SPLIT / "duplicates.csv", DUPLICATES), split["duplicates"]),
        "left_out": {name: source["left_out"] for name, source in sources.items()},
    }


def _groups(sources: Json) -> dict[str, int]:
    """Count the groups of all sources together by kind."""
    kinds = sorted({kind for source in sources.values() for kind in source["groups"]})
    return {kind: sum(source["groups"].get(kind, 0) for source in sources.values()) for kind in kinds}
