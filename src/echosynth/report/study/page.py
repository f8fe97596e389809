"""The page: one HTML file that holds its pictures and loads nothing."""

import yaml

from echosynth.common import paths
from echosynth.common.views import RARE_VIEWS, VIEWS
from echosynth.imagesets.store import Images
from echosynth.report.drawing import STYLES, look, mosaic
from echosynth.report.study import data_tables, figures, tables
from echosynth.report.study.inputs import PER_SUBSET, Inputs
from echosynth.report.templates import template
from echosynth.report.words import count, headline, listing
from echosynth.sources.registry import find_source


def _strips(inputs: Inputs) -> list[dict[str, object]]:
    """Real beside synthetic images by view, for each subset."""
    blocks = []
    for subset, model in inputs.diffusion.items():
        rows = [
            {"view": view, "real": _strip(model.real, view), "synthetic": _strip(model.synthetic, view)}
            for view in VIEWS
        ]
        size = count(model.metrics["images"])
        blocks.append({"title": subset, "size": size, "by_view": model.metrics["by_view"], "rows": rows})
    return blocks


def _strip(examples: dict[str, Images], view: str) -> str | None:
    return mosaic(examples[view], PER_SUBSET) if view in examples else None


def _budget(inputs: Inputs) -> str:
    """How long the arms train."""
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


def _final_sources(inputs: Inputs) -> list[tables.Table]:
    found = [tables.sources_of_final(inputs.final["test"], "test set")]
    return found + ([tables.sources_of_final(inputs.final["shift"], "domain shift")] if inputs.final["shift"] else [])


def _basis(inputs: Inputs) -> str:
    """How many images of the rare views the recalls rest on."""
    held = inputs.split["by_view"]["validation"]
    rare = " and ".join(f"{count(held[view])} {view}" for view in RARE_VIEWS)
    total = count(sum(held.values()))
    return (
        f"The validation set holds {total} real images, {rare} among them. No patient of it (no cine or file, where a "
        "source names no patients) is in the training set."
    )


def _confounding(inputs: Inputs) -> str:
    """Which sources give the view away."""
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


def render(inputs: Inputs) -> str:
    """The whole page as HTML, a function of the inputs alone."""
    sources = inputs.params.data.train_sources
    ends = list(inputs.sizes)
    ends = ends if len(ends) < 3 else [ends[0], ends[-1]]
    missing = [
        model.fidelity["inception_missing"]
        for model in inputs.diffusion.values()
        if model.fidelity["inception_missing"]
    ]
    with look():
        return template("study/page.html").render(
            headline=headline(inputs),
            basis=_basis(inputs),
            phantom=paths.simulated(inputs.params.data.root),
            styles=STYLES,
            arms=inputs.arms,
            per_view=inputs.params.sample.per_view,
            views=VIEWS,
            difference_pictures=figures.difference_pictures(inputs),
            differences=tables.differences(inputs),
            data_tables=[
                data_tables.by_source(inputs.split["by_source"], sources),
                data_tables.by_view(inputs.split["by_view"]),
            ],
            subsets=data_tables.subsets(inputs.split["subsets"], sources),
            diffusion_pictures=figures.diffusion_pictures(inputs),
            models=tables.models(inputs),
            strips=_strips(inputs),
            fidelity=[table for kind in ("echo", "inception") if (table := tables.fidelity(inputs, kind)).rows],
            inception_missing=missing[0] if missing else "",
            budget=_budget(inputs),
            classifier_pictures=figures.classifier_pictures(inputs),
            comparison=tables.comparison(inputs),
            training_sets=tables.training_sets(inputs),
            confounding=_confounding(inputs),
            seeds=len(inputs.params.classifier.seeds),
            matrices=[(count(inputs.sizes[subset]), tables.matrices(inputs, subset)) for subset in ends],
            by_source=[tables.sources_of_cells(inputs, subset) for subset in ends],
            architecture=inputs.architecture,
            best=inputs.final["best"],
            final=tables.final(inputs),
            final_matrices=tables.final_matrices(inputs),
            final_sources=_final_sources(inputs),
            # A change of what is left out here makes no stage of the study run again: it would be shown out of date.
            parameters=yaml.safe_dump(
                inputs.params.model_dump(exclude={"promotion", "explore"}), sort_keys=False, allow_unicode=True
            ),
        )
