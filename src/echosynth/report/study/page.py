"""The page of the report: one HTML file that holds its images and loads nothing."""

import yaml

from echosynth.common import paths
from echosynth.common.views import RARE_VIEWS, VIEWS
from echosynth.imagesets.store import Images
from echosynth.report.drawing import STYLES, look, mosaic
from echosynth.report.formatting import count, listing
from echosynth.report.study import figures, tables
from echosynth.report.study.headline import headline
from echosynth.report.study.inputs import PER_SUBSET, Inputs
from echosynth.report.tables import images_by_split_and_source, images_by_split_and_view, training_subsets
from echosynth.report.templates import fill
from echosynth.sources.registry import find_source


def _strips(inputs: Inputs) -> list[dict[str, object]]:
    """Lay real beside synthetic images by view, for each subset."""
    blocks = []
    for subset, model in inputs.diffusion.items():
        made = model.sets.values()
        rows = [
            {"view": view, "real": _strip(model.real, view), "made": [_strip(m.examples, view) for m in made]}
            for view in VIEWS
        ]
        size = count(model.metrics["images"])
        blocks.append({"title": subset, "size": size, "by_view": model.metrics["by_view"], "rows": rows})
    return blocks


def _strip(examples: dict[str, Images], view: str) -> str | None:
    return mosaic(examples[view], PER_SUBSET) if view in examples else None


def _budget(inputs: Inputs) -> str:
    """Say how long the arms train."""
    settings = inputs.params.classifier
    if settings.budget == "steps":
        return (
            f"All arms train the same number of steps ({count(settings.steps)}), so that a larger set does not get "
            "more optimisation (parameter classifier.budget)."
        )
    return (
        f"All arms train {settings.epochs} epochs, as in the study, so that a larger set gets more steps: see the "
        "column steps (parameter classifier.budget; `steps` gives every arm the same number)."
    )


def _basis(inputs: Inputs) -> str:
    """Say how many images of the rare views the recalls rest on."""
    held = inputs.split["by_view"]["validation"]
    rare = " and ".join(f"{count(held[view])} {view}" for view in RARE_VIEWS)
    total = count(sum(held.values()))
    return (
        f"The validation set holds {total} real images, {rare} among them. No patient of it (no cine or file, where a "
        "source names no patients) is in the training set."
    )


def _confounding(inputs: Inputs) -> str:
    """Say which sources give the view away."""
    sources = [find_source(name) for name in inputs.params.data.train_sources]
    single = [f"{source.title} holds only {source.views[0]}" for source in sources if len(source.views) == 1]
    if not single:
        return "Every source holds several views."
    facts = single
    for source in sources:
        elsewhere = {view for other in sources if other is not source for view in other.views}
        if len(source.views) > 1 and (own := [view for view in source.views if view not in elsewhere]):
            facts = [*facts, f"{listing(own)} come only from {source.title}"]
    text = (
        f"View and source are confounded: {listing(facts)}. A classifier that "
        "recognises the source gets part of its score for nothing."
    )
    several = [source.title for source in sources if len(source.views) > 1]
    return f"{text} The scores within {listing(several)} are free of that." if several else text


KINDS = ("echo", "inception", "imagenet")  # of features


@look()
def render(inputs: Inputs) -> str:
    """Render the whole page as HTML, a function of the inputs alone."""
    params, train = inputs.params, inputs.params.data.train_sources
    subsets = list(inputs.sizes)
    ends = subsets if len(subsets) < 3 else [subsets[0], subsets[-1]]
    measured = next(iter(inputs.diffusion.values())).sets["diffusion"].fidelity
    missing = [measured[f"{kind}_missing"] for kind in ("inception", "imagenet") if measured[f"{kind}_missing"]]
    # What no stage of the study reads is left out: a change of it makes none run again, so it would be out of date.
    shown = params.model_dump(exclude={"promotion", "explore", "study"})
    return fill(
        "study/page.html",
        headline=headline(inputs),
        basis=_basis(inputs),
        phantom=paths.simulated(params.data.root),
        styles=STYLES,
        arms=inputs.arms,
        generators=["diffusion", *params.baselines.generators],
        per_view=params.sample.per_view,
        views=VIEWS,
        difference_figures=figures.difference_figures(inputs),
        differences=tables.differences(inputs),
        by_split=[
            images_by_split_and_source(inputs.split["by_source"], train),
            images_by_split_and_view(inputs.split["by_view"]),
        ],
        subsets=training_subsets(inputs.split["subsets"], train),
        diffusion_figures=figures.diffusion_figures(inputs),
        models=tables.models(inputs),
        yardstick=tables.yardstick(inputs),
        known_pictures=tables.known_pictures(inputs),
        strips=_strips(inputs),
        fidelity=[table for kind in KINDS if (table := tables.fidelity(inputs, kind)).rows],
        missing=missing,
        budget=_budget(inputs),
        classifier_figures=figures.classifier_figures(inputs),
        comparison=tables.comparison(inputs),
        training_sets=tables.training_sets(inputs),
        confounding=_confounding(inputs),
        seeds=len(params.classifier.seeds),
        matrices=[(count(inputs.sizes[subset]), tables.matrices(inputs, subset)) for subset in ends],
        by_source=[tables.sources_of_cells(inputs, subset) for subset in ends],
        architecture=inputs.architecture,
        best=inputs.final["best"],
        final=tables.final(inputs),
        final_matrices=tables.final_matrices(inputs),
        final_sources=[
            tables.sources_of_final(inputs.final[key], name)
            for key, name in (("test", "test set"), ("shift", "domain shift"))
            if inputs.final[key]
        ],
        parameters=yaml.safe_dump(shown, sort_keys=False, allow_unicode=True),
    )
