"""The typed parameters: `params.yaml` is checked here and nowhere else.

What its sections hold is in `options.py` of the rooms that they are for. Every error names the key and what is allowed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError, model_validator

from echosynth.baselines.options import BaselineParams
from echosynth.classifier.options import ArmsParams, ClassifierParams, check_batch, check_side, generator_of
from echosynth.common.errors import EchosynthError
from echosynth.common.options import Section
from echosynth.common.yaml12 import read_yaml
from echosynth.config.explore import ExploreParams
from echosynth.config.promotion import PromotionParams
from echosynth.config.study import StudyParams
from echosynth.diffusion.options import DiffusionParams, SampleParams, check_guidance, check_levels, check_sources
from echosynth.evaluation.options import FidelityParams
from echosynth.ingest.options import IngestParams
from echosynth.media.options import DecodingParams
from echosynth.phantom.options import PhantomParams
from echosynth.screening.options import ReviewParams
from echosynth.sources.options import DataParams
from echosynth.splits.options import SplitParams

# What was called otherwise once: name or "name = value" -> the same today. A file with a former name is refused, with
# the new one. It is not read silently: dvc.yaml reads params.yaml too, and would go on with the old word.
FORMER = {
    "arms.real = upsampled": "arms.real = oversampled",
    "classifier.real_arms": "arms.real",
    "classifier.synthetic_arms": "arms.synthetic",
    "classifier.baseline_arms": "arms.baseline",
    "classifier.architectures": "arms.architectures",
}


class Params(Section):
    """All of params.yaml."""

    data: DataParams
    decoding: DecodingParams
    phantom: PhantomParams
    review: ReviewParams
    ingest: IngestParams
    split: SplitParams
    diffusion: DiffusionParams
    sample: SampleParams
    baselines: BaselineParams
    fidelity: FidelityParams
    arms: ArmsParams
    classifier: ClassifierParams
    promotion: PromotionParams
    explore: ExploreParams
    study: StudyParams

    def _can_be_sampled(self) -> None:
        """Check that the diffusion model will know what the synthetic sets ask of it."""
        model, sample = self.diffusion, self.sample
        check_guidance(model, sample)
        check_sources(model, self.data.train_sources, sample.sources)
        if sample.autoguidance and not model.keep_snapshots:
            raise ValueError(f"sample.autoguidance = {sample.autoguidance} needs diffusion.keep_snapshots = true")

    def _study_has_its_subsets(self) -> None:
        """Check that the subsets of the study are drawn, once it is asked for."""
        known = self.split.subsets
        if self.study.run and (unknown := [size for size in self.study.rebalance_subsets if size not in known]):
            names = ", ".join(map(str, known))
            raise ValueError(f"study.rebalance_subsets: {unknown[0]} is none of split.subsets, which are {names}")

    @model_validator(mode="after")
    def _sections_fit(self) -> "Params":
        check_levels(self.diffusion, self.ingest.size)
        self._can_be_sampled()
        self._study_has_its_subsets()
        for arm in self.arms.baseline:
            if (generator := generator_of(arm)) not in self.baselines.generators:
                raise ValueError(
                    f"arms.baseline: {arm} needs {generator} among baselines.generators, which are "
                    f"{', '.join(self.baselines.generators) or 'none'}"
                )
        for key, names, batch_key, training in (
            ("arms.architectures", self.arms.architectures, "classifier.batch_size", self.classifier),
            (
                "fidelity.architecture",
                [self.fidelity.architecture],
                "fidelity.training.batch_size",
                self.fidelity.training,
            ),
        ):
            for name in names:
                check_side(key, name, self.ingest.size)
                check_batch(batch_key, training.batch_size, name, self.ingest.size)
        return self


def _sentence(error: dict[str, Any], source: str) -> str:
    """Turn one pydantic error into a sentence: key, what was found, what is allowed or what it is called today."""
    # Branches of a union appear as extra parts such as "constrained-int" or "literal['all']": not part of the key.
    parts = [str(part) for part in error["loc"] if not (isinstance(part, str) and ("[" in part or "-" in part))]
    key = ".".join(parts) or "the file"
    name = ".".join(part for part in parts if not part.isdecimal())  # without the place in a list
    for old in (name, f"{name} = {error['input']}"):
        if old in FORMER:
            return f"{source}: {old} is called {FORMER[old]} today; rename it"
    if error["type"] == "missing":
        return f"{source}: {key} is missing"
    if error["type"] == "extra_forbidden":
        fields = Params.model_fields
        for part in parts[:-1]:
            fields = fields[part].annotation.model_fields  # type: ignore[union-attr]
        return f"{source}: {key} is no parameter; allowed here: {', '.join(sorted(fields))}"
    if error["type"] == "value_error":
        # Checks of a whole section name their parameters themselves.
        return f"{source}: {key}: {error['ctx']['error']}" if len(parts) > 1 else f"{source}: {error['ctx']['error']}"
    return f"{source}: {key} = {error['input']!r} is not allowed: {error['msg'].lower()}"


def parse_params(content: Any, source: str = "params.yaml") -> Params:
    """Check a tree of plain values (mappings, lists, numbers, strings).

    Raises:
        EchosynthError: naming every key that is unknown, missing, of a wrong type or out of range.
    """
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        errors = {".".join(map(str, item["loc"])): dict(item) for item in error.errors()}
        for name in errors.keys() & FORMER.keys():  # missing under the new name only, or with its section
            for today in (FORMER[name], FORMER[name].partition(".")[0]):
                if errors.get(today, {}).get("type") == "missing":
                    del errors[today]
        sentences = dict.fromkeys(_sentence(item, source) for item in errors.values())
        raise EchosynthError("; ".join(sentences)) from None


def load_params(path: Path | str = "params.yaml") -> Params:
    """Read and check the parameters of the project.

    Raises:
        EchosynthError: see `read_yaml` and `parse_params`.
    """
    return parse_params(read_yaml(path), str(path))


def flat_tree(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested values, such as parameters as they are read, into "section.key" -> value."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= flat_tree(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found
