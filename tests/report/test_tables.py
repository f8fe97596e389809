"""The tables of image counts that the report and the data card share: the study's 3.1, 3.2 and 3.4."""

from echosynth.report.tables import images_by_split_and_source, images_by_split_and_view, training_subsets

SOURCES = ["echonet-dynamic", "echonet-lvh", "tmed2"]


def test_split_and_source() -> None:
    counts = {
        "train": dict(zip(SOURCES, (8020, 8945, 14165), strict=True)),
        "validation": dict(zip(SOURCES, (1002, 1118, 1775), strict=True)),
        "test": dict(zip(SOURCES, (1004, 1119, 1767), strict=True)),
    }
    table = images_by_split_and_source(counts, SOURCES)
    assert table.header == ["split", "EchoNet-Dynamic", "EchoNet-LVH", "TMED-2", "all", "share"]
    assert table.rows == [
        ["train", "8,020", "8,945", "14,165", "31,130", "80.0 %"],
        ["validation", "1,002", "1,118", "1,775", "3,895", "10.0 %"],
        ["test", "1,004", "1,119", "1,767", "3,890", "10.0 %"],
        ["all", "10,026", "11,182", "17,707", "38,915", ""],
        ["share", "25.8 %", "28.7 %", "45.5 %", "", "100.0 %"],
    ]


def test_split_and_view_fills_in_zeros() -> None:
    counts = {"train": {"A4C": 6, "PLAX": 2}, "validation": {"A4C": 1}, "test": {"A2C": 1}}
    table = images_by_split_and_view(counts)
    assert table.rows[1] == ["validation", "0", "1", "0", "0", "1", "10.0 %"]
    assert table.rows[4] == ["share", "10.0 %", "70.0 %", "20.0 %", "0.0 %", "", "100.0 %"]


def test_subsets_stand_in_order_of_size_with_shares() -> None:
    views = {"A2C": 89, "A4C": 374, "PLAX": 468, "PSAX": 69}
    small = {"images": 1000, "by_view": views, "by_source": dict(zip(SOURCES, (253, 289, 458), strict=True))}
    table = training_subsets({"all": small | {"images": 31130}, "1000": small}, SOURCES)
    assert [row[0] for row in table.rows] == ["1000", "all"]
    assert table.rows[0][:3] == ["1000", "1,000", "89 (8.9 %)"]
    assert table.rows[0][-1] == "458 (45.8 %)"
