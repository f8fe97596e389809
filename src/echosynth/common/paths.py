"""Where the pipeline's files are, relative to the project's root: the one place that knows, beside dvc.yaml."""

from pathlib import Path

SCREENING = Path("data/screening")
REVIEW = Path("data/review")
SOURCES = Path("data/sources")
SHIFT = Path("data/shift")
SPLIT = Path("data/split")
ASSIGNMENT = SPLIT / "assignment.csv"
SYNTHETIC = Path("data/synthetic")
PAIRS = Path("data/pairs")
BASELINES = Path("data/baselines")
DIFFUSION = Path("models/diffusion")
FEATURE_NETWORK = Path("models/feature-network")
CLASSIFIERS = Path("models/classifiers")
FINAL = Path("models/final")
FIDELITY = Path("reports/fidelity")
COMPARISON = Path("reports/comparison")
KNOWN_PICTURES = Path("reports/known_pictures.json")
FINAL_SCORES = Path("reports/final")
WEIGHTS, CARD = STORED = ("model.safetensors", "card.json")  # files of a stored network
TRUTH = "phantom-truth.csv"  # below data.root, which holds phantoms then: what each of their files shows


def simulated(root: str) -> bool:
    """Whether a folder of releases is the demo's, which holds phantoms; its name says so."""
    return Path(root).name == "phantom"


def subset_file(size: int | str) -> Path:
    """List of the ids of a training subset."""
    return SPLIT / "subsets" / f"{size}.csv"


def synthetic_set(generator: str, size: int | str) -> Path:
    """Folder of the synthetic set of one generator and training subset."""
    return SYNTHETIC / str(size) if generator == "diffusion" else BASELINES / str(size) / generator


def more_pairs(size: int | str) -> Path:
    """Folder of the images that the study sampled beside the synthetic set of one subset."""
    return PAIRS / str(size)


def synthetic_output(generator: str, size: int | str) -> tuple[str, Path]:
    """Name and folder of the output of DVC that holds that set: the baselines of a subset are one output."""
    place = SYNTHETIC if generator == "diffusion" else BASELINES
    return f"{place.name}-{size}", place / str(size)


def fidelity_report(generator: str, size: int | str) -> Path:
    """Folder of what was measured on that set."""
    return FIDELITY / str(size) / generator


def cell_folder(group: str, size: int | str, architecture: str) -> Path:
    """Folder of the classifiers of one group of arms, subset and architecture."""
    return CLASSIFIERS / f"{group}-{size}-{architecture}"


def seed_folder(arm: str, seed: int) -> Path:
    """Folder of one trained classifier below its `cell_folder`."""
    return Path(arm, f"seed-{seed}")
