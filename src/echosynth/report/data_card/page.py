"""The data card as a page: one HTML file that holds its images and loads nothing."""

from echosynth.config.parameters import Params
from echosynth.imagesets.store import read_manifest
from echosynth.report.data_card import figures, tables
from echosynth.report.data_card.card import folder_of
from echosynth.report.data_card.screening import read_review
from echosynth.report.drawing import PageFigure, look
from echosynth.report.formatting import count, plural
from echosynth.report.tables import SPLITS, Json, images_by_split_and_source, images_by_split_and_view, training_subsets
from echosynth.report.templates import fill

METHODS = {
    "ks": (
        "The first frame of each recording gives, for each pixel, the largest absolute difference of two colour "
        "channels. The first unassigned recording founds a group; every unassigned one whose two-sample "
        "Kolmogorov-Smirnov test against it does not reject at level {alpha:g} joins it; so on until all are assigned. "
        "A person looks at one recording of each group and decides about the group as a whole."
    ),
    "grey": (
        "A pixel of the first frame is grey when its channels differ by no more than {grey_difference} levels; a "
        "recording is kept when at least {grey_share:.0%} of its pixels are grey."
    ),
    "none": "No recording was screened.",
}
UNDECIDED = {
    "keep": "Groups without a decision are kept.",
    "drop": "Groups without a decision are dropped.",
    "stop": "Groups without a decision stop the pipeline.",
    "proposal": "Groups without a decision follow the computed proposal.",
}


def _summary(card: Json) -> str:
    """Describe the data set in a sentence or two."""
    images, sources = card["images"], card["sources"]
    by_split = ", ".join(f"{count(images[split])} {split}" for split in SPLITS)
    text = (
        f"{plural(images['all'], 'image')} from {plural(len(sources), 'source')}: {count(images['four_class'])} of the "
        f"four-class set ({by_split})"
    )
    if images["shift"]:
        text += f" and {count(images['shift'])} for the domain shift alone, on which nothing is trained or chosen"
    return f"{text}. They come from {tables.groups_in_words(card['groups'])}."


def _facts(source: Json) -> list[tuple[str, str]]:
    """Say in words what is known of a source, as pairs of name and text."""
    frames, facts = source["frames"], [("Native size", f"{tables.sizes_in_words(source['native_sizes'])} pixels")]
    if frames["most"] > 1:
        fewest, median, most = (count(frames[key]) for key in ("fewest", "median", "most"))
        facts.append(("Frames", f"{fewest} to {most}, median {median}"))
    facts.append(("Chosen", source["selection"]))
    if source["split"]:
        rules = {"official": "the release's own", "group": "by group"}
        rule = source["split"]["rule"]
        facts.append(("Split", f"{rules.get(rule, rule)}: {source['split']['reason']}"))
    else:
        facts.append(("Split", "none: only the final model sees it, once"))
    facts += [("Licence", source["licence"]), ("Citation", source["citation"])]
    return facts + [("Note", note) for note in source["notes"]]


def _frames(card: Json) -> list[PageFigure]:
    """Draw the frame counts of every source that holds cines."""
    return [
        figures.frame_counts(source["title"], source["frame_counts"], source["frames"])
        for source in card["sources"].values()
        if source["frames"]["most"] > 1
    ]


def _reviews(card: Json, params: Params) -> list[Json]:
    """Collect tables and contact sheet of every source whose recordings were put into groups."""
    blocks = []
    for name, screening in card["validation"].items():
        if not screening["groups"]:
            continue
        title, review = card["sources"][name]["title"], read_review(name, params)
        blocks.append(
            {
                "title": title,
                "name": name,
                "decided": tables.decided(title, screening),
                "groups": tables.groups(title, review.groups),
                "sheet": figures.sheet(review.sheets, title) if review.sheets else None,
            }
        )
    return blocks


@look()
def render(card: Json, params: Params) -> str:
    """Render the whole page as HTML, a function of the card and of the images that it is about.

    Args:
        card: see `echosynth.report.data_card.card.collect`.
        params: the parameters of the run.

    Raises:
        EchosynthError: naming the first file that is missing or damaged.
    """
    four, train, review = card["four_class"], list(card["four_class"]["by_source_and_view"]), params.review
    examples: list[PageFigure] = []
    for name, source in card["sources"].items():
        folder = folder_of(name, params)
        examples += figures.examples(folder, read_manifest(folder), source["title"])
    return fill(
        "data_card/page.html",
        card=card,
        styles={},
        summary=_summary(card),
        overview=tables.overview(card),
        facts=[(source["title"], _facts(source)) for source in card["sources"].values()],
        groups=", ".join(f"{count(four['groups'][split])} {split}" for split in SPLITS),
        by_source=images_by_split_and_source(four["by_source"], train),
        by_view=images_by_split_and_view(four["by_view"]),
        shift_sets=tables.shift_sets(card["shift"]),
        subsets=training_subsets(four["subsets"], train),
        views_figure=figures.views_by_split(four["by_view"]),
        frames=_frames(card),
        examples=examples,
        method=METHODS[review.method].format(**review.model_dump()),
        undecided=UNDECIDED[review.undecided] if review.method == "ks" else "",
        screened=tables.screened(card),
        judged=tables.judged(card),
        reviews=_reviews(card, params),
        duplicates=tables.duplicates(card),
        left_out=tables.left_out(card["left_out"]),
    )
