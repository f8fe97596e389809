"""The tables of the data card: every cell comes from a number of the card."""

from collections.abc import Mapping

import pandas as pd

from echosynth.common.views import VIEWS
from echosynth.report.formatting import count, decimal, listing, plural, share
from echosynth.report.tables import Counts, Json, Table, release_title, with_sums

KINDS = {"patient": "patients", "study": "studies", "cine": "cines", "file": "files"}
GROUPS_SHOWN, DROPPED_SHOWN = 12, 8
SIZES_SHOWN = 4
COUNTED = ("groups", "recordings")
APPROACHES = {
    "grey": "grey-proportion threshold (a)",
    "rule": "rule on each recording alone",
    "groups": "proposals for groups (b)",
    "decisions": "decisions, which the ingest follows",
}


def groups_in_words(groups: dict[str, int]) -> str:
    """Say how many groups there are of each kind, such as "12 patients and 1 file"."""
    return listing(f"{count(n)} {kind if n == 1 else KINDS.get(kind, kind)}" for kind, n in groups.items())


def sizes_in_words(sizes: dict[str, int]) -> str:
    """Name the most frequent native sizes with their numbers of pictures."""
    ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{size.replace('x', ' × ')} ({count(n)})" for size, n in ordered[:SIZES_SHOWN]]
    rest = ordered[SIZES_SHOWN:]
    if rest:
        parts.append(f"{count(len(rest))} other size{'s' if len(rest) > 1 else ''} ({count(sum(n for _, n in rest))})")
    return listing(parts)


def overview(card: Json) -> Table:
    """Show the sources, a row each."""
    rows = [
        [
            source["title"],
            "domain shift" if source["role"] == "shift" else "four-class set",
            source["unit"],
            groups_in_words(source["groups"]),
            *(count(source["views"][view]) if source["views"][view] else "–" for view in VIEWS),
            count(source["images"]),
            count(source["enlarged"]),
            count(sum(source["left_out"].values())),
        ]
        for source in card["sources"].values()
    ]
    header = ["source", "used as", "unit", "groups", *VIEWS, "images", "enlarged", "left out"]
    note = (
        "A group is the smallest unit that is never divided between splits. Enlarged: images whose picture was smaller "
        "than the size that the networks see."
    )
    return Table("Sources (images by view)", header, rows, labels=4, note=note)


def decided(title: str, screening: Json) -> Table:
    """Show the groups and recordings of a source by decision and reason.

    Args:
        title: the source's name for people.
        screening: of the source, from the card.
    """
    rows = [
        [row["decision"], row["by"], row["proposal"], row["reason"] or "–", *(count(row[key]) for key in COUNTED)]
        for row in screening["decisions"]
    ]
    single = screening["single"]
    note = (
        f"A person decided about {plural(sum(single.values()), 'recording')} apart from the group: {single['drop']} "
        f"dropped, {single['keep']} kept."
    )
    note = note if any(single.values()) else ""
    header = ["decision", "by", "proposal", "reason of the proposal", *COUNTED]
    return Table(f"{title}: decisions about the groups", header, rows, labels=4, note=note)


def groups(title: str, table: pd.DataFrame) -> Table:
    """Show the groups that matter most: the largest dropped ones, then the most colourful kept ones; count the rest.

    Args:
        title: the source's name for people.
        table: see `echosynth.report.data_card.screening.Review.groups`.
    """
    dropped = table[table["decision"] == "drop"].sort_values(["size", "number"], ascending=[False, True])
    kept = table[table["decision"] == "keep"].sort_values(["colourfulness", "number"], ascending=[False, True])
    first = dropped.head(max(DROPPED_SHOWN, GROUPS_SHOWN - len(kept)))
    shown = pd.concat([first, kept.head(GROUPS_SHOWN - len(first))])
    rest = table[~table["number"].isin(shown["number"])]
    rows = [
        [
            f"{row['decision']} ({row['by']})",
            row["proposal"],
            row["reason"] or "–",
            str(row["number"]),
            count(row["size"]),
            decimal(row["colourfulness"], 1),
        ]
        for row in shown.to_dict("records")
    ]
    note = "Colourfulness: mean over the pixels of the largest difference of two colour channels, in grey levels."
    if len(rest):
        gone = rest[rest["decision"] == "drop"]
        note += (
            f" Not shown: {count(len(rest))} more groups of {count(int(rest['size'].sum()))} recordings, of which "
            f"{count(len(gone))} ({count(int(gone['size'].sum()))} recordings) are dropped."
        )
    header = ["decision", "proposal", "reason", "group", "recordings", "colourfulness"]
    return Table(f"{title}: groups, dropped ones first, then the most colourful", header, rows, labels=3, note=note)


def judged(card: Json) -> Table:
    """Show how well each approach finds the phantoms' known outliers; no rows for real recordings."""
    rows = []
    for name, screening in card["validation"].items():
        for approach, scores in (screening["on_phantoms"] or {}).items():
            cells = [count(scores["dropped"]), count(scores["outliers"])]
            cells += [decimal(scores["recall"], 2), decimal(scores["precision"], 2)]
            rows.append([release_title(name), APPROACHES.get(approach, approach), *cells])
    header = ["source", "approach", "would drop", "true outliers", "recall", "precision"]
    note = "Recall: share of the outliers that are dropped. Precision: share of the dropped that are outliers."
    return Table("What each approach does to the phantoms' known outliers", header, rows, labels=2, note=note)


def screened(card: Json) -> Table:
    """Show the recordings kept and dropped, by source."""
    rows = []
    for name, screening in card["validation"].items():
        outcome = card["sources"][name]["validation"]
        total = outcome["kept"] + outcome["dropped"]
        reasons = listing(f"{reason} ({count(n)})" for reason, n in sorted(outcome["by_reason"].items()))
        looked_at = [count(screening[key]) for key in ("recordings", "groups")]
        outcomes = [count(outcome["kept"]), count(outcome["dropped"]), share(outcome["dropped"], total)]
        rows.append([release_title(name), outcome["method"], reasons or "–", *looked_at, *outcomes])
    header = ["source", "method", "reasons", "recordings", "groups", "kept", "dropped", "share dropped"]
    return Table("Recordings kept and dropped by the screening", header, rows, labels=3)


def duplicates(card: Json) -> Table:
    """Show pairs of equal and nearly equal pictures."""
    pairs, threshold = card["duplicates"], card["parameters"]["split"]["near_duplicate"]
    keys = {
        "across_groups": "across groups",
        "across_views": "of these across views",
        "within_groups": "within a group",
    }
    rows = [[kind, *(count(pairs[kind][key]) for key in keys)] for kind in ("exact", "near")]
    if threshold == "none":
        return Table("Duplicates in the four-class set", [], [], note="Not looked for (split.near_duplicate: none).")
    note = (
        f"Near: the correlation of two prepared pictures is {threshold:g} or more. Pairs across views have "
        f"contradictory labels. {plural(pairs['linked_groups'], 'group')} that share a picture with another group form "
        f"{plural(pairs['clusters'], 'cluster')}, each of which lies in one split as a whole"
    )
    note += f"; official splits would have torn {count(pairs['torn_clusters'])}." if pairs["torn_clusters"] else "."
    if pairs["blank"]:
        note += f" Not compared: {plural(pairs['blank'], 'blank picture')}."
    return Table("Duplicates in the four-class set (pairs of images)", ["kind", *keys.values()], rows, note=note)


def shift_sets(counts: Mapping[str, Counts]) -> Table:
    """Show the domain-shift sets by source and view, the study's table 3.3, from source -> view -> images."""
    named = {release_title(source): views for source, views in counts.items()}
    return with_sums("Domain-shift sets by source and view (images)", "source", named, VIEWS, VIEWS)


def left_out(counts: Mapping[str, Counts]) -> Table:
    """Show what ingest left out, from source -> reason -> files or rows."""
    rows = [
        [release_title(source), reason, count(files)]
        for source, reasons in counts.items()
        for reason, files in sorted(reasons.items())
    ]
    note = "The first of each are listed in report.json beside the image set." if rows else "Nothing was left out."
    return Table("Left out by ingest (files or rows)", ["source", "reason", "count"], rows, labels=2, note=note)
