"""Write the data card: its numbers as JSON and a page of the report."""

from pathlib import Path

from echosynth.common.files import write_json
from echosynth.config.parameters import Params
from echosynth.report.data_card.card import collect
from echosynth.report.data_card.page import render
from echosynth.report.templates import write_html
from echosynth.stages import stage

REPORTS = Path("reports")


def build(params: Params) -> None:
    """Write reports/data.html and reports/data_card.json."""
    card = collect(params)
    write_html(REPORTS / "data.html", render(card, params))
    write_json(REPORTS / "data_card.json", card)


@stage
def main(params: Params) -> None:
    """Read what the stages of the data wrote and write the card."""
    build(params)
    print(f"the data card: {REPORTS / 'data.html'}")


if __name__ == "__main__":
    main()
