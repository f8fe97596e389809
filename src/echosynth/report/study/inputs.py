"""Read what the report is made of: the outputs of the other stages."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.common.files import read_json
from echosynth.common.views import VIEWS
from echosynth.config.parameters import Params
from echosynth.imagesets.dataset import read_labelled
from echosynth.imagesets.store import Images, read_image_set, read_manifest
from echosynth.report.drawing import STYLES
from echosynth.report.tables import Json

PER_SUBSET = 8  # example images of a view, real and synthetic each


@dataclass(frozen=True)
class SyntheticSet:
    """One synthetic set of the report.

    Attributes:
        fidelity: its distances and its audit.
        examples: view -> the first images of it.
    """

    fidelity: Json
    examples: dict[str, Images]


@dataclass(frozen=True)
class Diffusion:
    """One diffusion model of the report, and all that was made from its subset.

    Attributes:
        metrics: metrics.json of its training.
        curve: losses by step.
        snapshots: distance of each snapshot and average.
        real: view -> example images of its subset.
        sets: generator -> its synthetic set, that of the diffusion model first.
    """

    metrics: Json
    curve: pd.DataFrame
    snapshots: pd.DataFrame
    real: dict[str, Images]
    sets: dict[str, SyntheticSet]


@dataclass(frozen=True)
class Inputs:
    """All inputs of the report.

    Attributes:
        params: the parameters of the run.
        split: data/split/metrics.json.
        diffusion: subset -> model, the smallest subset first.
        comparison: reports/comparison/metrics.json.
        final: reports/final/metrics.json.
        known_pictures: reports/known_pictures.json.
    """

    params: Params
    split: Json
    diffusion: dict[str, Diffusion]
    comparison: Json
    final: Json
    known_pictures: list[Json]

    @property
    def sizes(self) -> dict[str, int]:
        """Subset -> number of real images, the smallest first."""
        return dict(
            sorted(((cell["subset"], cell["real_images"]) for cell in self.comparison["cells"]), key=lambda s: s[1])
        )

    @property
    def arms(self) -> list[str]:
        """The arms that were trained, in the order of `STYLES`."""
        trained = {cell["arm"] for cell in self.comparison["cells"]}
        return STYLES.in_order(trained)

    @property
    def intervals_over(self) -> str:
        """The chances that intervals of the comparison hold, in words."""
        return str(self.comparison["intervals_over"])

    @property
    def no_floor(self) -> str:
        """Why distances have no floor, as a sentence with a space behind; empty where they have one."""
        found = [model.sets["diffusion"].fidelity.get("floor_missing", "") for model in self.diffusion.values()]
        return f"{found[0]} " if any(found) else ""

    @property
    def architecture(self) -> str:
        """The architecture that the headline is about: the first one of the parameters."""
        return self.params.arms.architectures[0]

    def cell(self, subset: str, arm: str, architecture: str | None = None) -> Json | None:
        """Give the means over seeds of one arm and subset; None when it was not trained."""
        wanted = (subset, arm, architecture or self.architecture)
        cells = self.comparison["cells"]
        return next((cell for cell in cells if (cell["subset"], cell["arm"], cell["architecture"]) == wanted), None)

    def cells(self, subset: str, architecture: str | None = None) -> list[Json]:
        """Give the cells of one subset, in the order of the arms."""
        return [cell for arm in self.arms if (cell := self.cell(subset, arm, architecture))]

    def agreement(self, generator: str, subset: str) -> Json | None:
        """Give the view agreement of a synthetic set; None where no classifier of real images alone was trained."""
        sets = (self.comparison["agreement"] or {"sets": []})["sets"]
        return next((one for one in sets if (one["generator"], one["subset"]) == (generator, subset)), None)

    def seeds(self, cell: Json) -> list[Json]:
        """Give the single runs behind a cell."""
        keys = ("subset", "arm", "architecture")
        return [run for run in self.comparison["runs"] if all(run[key] == cell[key] for key in keys)]


def _table(path: Path) -> pd.DataFrame:
    """Read a CSV file of another stage."""
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise EchosynthError(f"{path} is missing; run `dvc repro` to make it") from None


def _examples(folder: Path, count: int) -> dict[str, Images]:
    """Read the first `count` images of each view by id."""
    made = read_image_set(folder)
    rows = made.manifest.sort_values("id", kind="stable")
    places = {view: rows.index[rows["view"] == view][:count] for view in VIEWS}
    return {view: made.images[chosen] for view, chosen in places.items() if len(chosen)}


def _synthetic_set(generator: str, subset: str) -> SyntheticSet:
    """Read what the report shows of the set of one generator."""
    made = paths.synthetic_set(generator, subset)
    fidelity = read_json(paths.fidelity_report(generator, subset) / "metrics.json")
    return SyntheticSet(fidelity, _examples(made, PER_SUBSET))


def _subset_examples(subset: str, manifests: dict[str, pd.DataFrame]) -> dict[str, Images]:
    """Read the first `PER_SUBSET` real training images of each view of a subset, whatever their source.

    Ids are hashes, so that the first ones are as good as ones drawn by lot.
    """
    rows = pd.concat(manifests.values(), ignore_index=True)
    rows = rows[rows["id"].isin(_table(paths.subset_file(subset))["id"])]
    # Ordered by the hash that follows the source's name, or one source would fill the row.
    rows = rows.assign(key=rows["id"].str.rsplit("-", n=1).str[-1]).sort_values("key", kind="stable")
    chosen = rows.groupby("view").head(PER_SUBSET)["id"].tolist()
    examples = read_labelled([paths.SOURCES / source for source in manifests], chosen)
    return {VIEWS[label]: examples.images[examples.labels == label] for label in np.unique(examples.labels)}


def read_inputs(params: Params) -> Inputs:
    """Read everything from the pipeline's folders below the current one.

    Raises:
        EchosynthError: naming the first file that is missing or damaged.
    """
    manifests = {source: read_manifest(paths.SOURCES / source) for source in params.data.train_sources}
    models = {}
    for subset in map(str, params.split.subsets):
        models[subset] = Diffusion(
            metrics=read_json(paths.DIFFUSION / subset / "metrics.json"),
            curve=_table(paths.DIFFUSION / subset / "curve.csv"),
            snapshots=_table(paths.DIFFUSION / subset / "snapshots.csv"),
            real=_subset_examples(subset, manifests),
            sets={name: _synthetic_set(name, subset) for name in ("diffusion", *params.baselines.generators)},
        )
    return Inputs(
        params=params,
        split=read_json(paths.SPLIT / "metrics.json"),
        diffusion=dict(sorted(models.items(), key=lambda item: item[1].metrics["images"])),
        comparison=read_json(paths.COMPARISON / "metrics.json"),
        final=read_json(paths.FINAL_SCORES / "metrics.json"),
        known_pictures=read_json(paths.KNOWN_PICTURES),
    )
