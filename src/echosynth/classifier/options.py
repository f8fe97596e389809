"""Options of the view classifiers and of their arms."""

from typing import Annotated, Literal, cast, get_args

from pydantic import AfterValidator, Field, model_validator

from echosynth.common.arm_names import MIXED, percent_of
from echosynth.common.errors import OptionError
from echosynth.common.options import Fraction, Positive, Section, Seed


def _of_diffusion(arm: str) -> str:
    if arm not in ("synthetic", MIXED) and percent_of(arm) is None:
        raise OptionError(
            f"{arm!r} is none of synthetic, {MIXED} and such as {MIXED}-70 (synthetic images worth 70 per cent of the "
            "real ones, 1 to 9999)"
        )
    return arm


RealArm = Literal["real", "oversampled"]
SyntheticArm = Annotated[str, AfterValidator(_of_diffusion)]
BaselineArm = Literal["gaussian", "mixup", "mixed-gaussian", "mixed-mixup"]
ArmName = RealArm | SyntheticArm | BaselineArm
Group = Literal["real", "synthetic"] | BaselineArm  # the arms of real images, those of the diffusion model, each other

# Smallest side in pixels that an architecture of the study can halve as often as it does (inception_v3 enlarges what it
# is given). They are known, so that parameters are read without building networks; of others it is tried.
SMALLEST_SIDE: dict[str, int] = {"resnet18": 32, "densenet121": 32, "vgg16": 32, "inception_v3": 8}

# Smallest side in pixels from which on it trains on one image a step: batch normalisation needs two values a channel,
# and below this side its last layers have one for each image. (vgg16 has none; inception_v3 always one.)
SMALLEST_SINGLE_SIDE: dict[str, int | None] = {"resnet18": 33, "densenet121": 61, "vgg16": 32, "inception_v3": None}
SIDES = range(8, 513, 8)


def _known(architecture: str) -> str:
    if architecture not in SMALLEST_SIDE:
        from echosynth.classifier.timm_networks import check_known  # PyTorch and timm, which the study's do not need

        check_known(architecture)
    return architecture


Architecture = Annotated[str, AfterValidator(_known)]


def smallest_side(architecture: str, images: int) -> int | None:
    """Smallest side in pixels of images that an architecture can be trained on, so many a step; None where it can not
    with 512 pixels either."""
    if architecture in SMALLEST_SIDE:
        return SMALLEST_SINGLE_SIDE[architecture] if images == 1 else SMALLEST_SIDE[architecture]
    from echosynth.classifier.timm_networks import trains_on

    return next((side for side in SIDES if trains_on(architecture, side, min(images, 2))), None)


def _fits(architecture: str, size: int, images: int) -> bool:
    if architecture in SMALLEST_SIDE:
        smallest = smallest_side(architecture, images)
        return smallest is not None and size >= smallest
    from echosynth.classifier.timm_networks import trains_on

    return trains_on(architecture, size, min(images, 2))


def check_side(key: str, architecture: str, size: int) -> None:
    """Check that an architecture takes images of this size.

    Args:
        key: the parameter that names it, such as "arms.architectures".
        architecture: name of the network.
        size: side of the images in pixels.

    Raises:
        OptionError: it does not.
    """
    if not _fits(architecture, size, 2):
        smallest = smallest_side(architecture, 2)
        need = f"ingest.size of at least {smallest}" if smallest and smallest > size else "another ingest.size"
        raise OptionError(f"{key}: {architecture} needs {need}, it is {size}")


def group_of(arm: ArmName) -> Group:
    """Name the group of arms that are trained together."""
    if arm in get_args(RealArm):
        return "real"
    return "synthetic" if generator_of(arm) == "diffusion" else cast(BaselineArm, arm)


def check_batch(key: str, batch_size: int, architecture: str, size: int) -> None:
    """Check that an architecture can be trained on so many images a step.

    Args:
        key: the parameter that says how many, such as "classifier.batch_size".
        batch_size: its value, 1 or more.
        architecture: name of the network.
        size: side of the images in pixels.

    Raises:
        OptionError: there is one image a step, and too little of it is left in the last layers.
    """
    if batch_size == 1 and not _fits(architecture, size, 1):
        smallest = smallest_side(architecture, 1)
        where = f" where ingest.size is below {smallest} (it is {size})" if smallest and smallest > size else ""
        raise OptionError(
            f"{key} = 1 is too few for {architecture}, whose batch normalisation needs 2 images a step or more{where}"
        )


def generator_of(arm: ArmName) -> str | None:
    """Name the generator whose synthetic set an arm holds; None for an arm of real images alone."""
    if arm in get_args(RealArm):
        return None
    return "diffusion" if arm in ("synthetic", MIXED) or percent_of(arm) else arm.removeprefix(f"{MIXED}-")


class ArmsParams(Section):
    """The sets that classifiers are trained on, and the architectures of these classifiers."""

    real: list[RealArm]
    synthetic: list[SyntheticArm]
    baseline: list[BaselineArm]
    all_counts_as: int = Field(ge=0)
    keep_weights: Literal["all", "best"]
    architectures: list[Architecture] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_can_be_the_best(self) -> "ArmsParams":
        if not self.real and not self.synthetic:
            raise OptionError(
                "arms.real and arms.synthetic are both empty, and a baseline is never the final model: name an arm in "
                "one of them"
            )
        return self

    @property
    def names(self) -> list[ArmName]:
        """All arms that are trained, in the order of the tables."""
        return [*self.real, *self.synthetic, *self.baseline]

    def of_group(self, group: Group) -> list[ArmName]:
        """Name the arms of a group that are trained."""
        return [arm for arm in self.names if group_of(arm) == group]

    def worth(self, subset: str) -> int:
        """Number of images that the per cents of an arm are of where it is not the subset's own; 0: it is."""
        return self.all_counts_as if subset == "all" else 0


class TrainingParams(Section):
    """How a classifier is trained."""

    budget: Literal["steps", "epochs"]
    steps: Positive
    epochs: Positive
    batch_size: Positive
    learning_rate: float = Field(gt=0, le=10)
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    decay_every: Fraction
    decay_factor: float = Field(gt=0, le=1)
    augment: float = Field(ge=0, le=1)
    precision: Literal["auto", "fp32", "bf16"]


class ClassifierParams(TrainingParams):
    """How the view classifiers of all arms are trained and scored."""

    seeds: list[Seed] = Field(min_length=1)
    evaluations: Positive
    bootstrap: int = Field(ge=0)
    bootstrap_seed: Seed
