"""Every command of docs/teams.md is run by a test."""

import re
from pathlib import Path

from tests.teams.page import PAGE


def test_every_command_of_the_page_is_run_by_a_test() -> None:
    sections = re.split(r"^##+ ", PAGE.read_text(encoding="utf-8"), flags=re.M)
    with_commands = {part.splitlines()[0] for part in sections if "```console" in part}
    tests = "".join(
        path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.py") if path.name != "page.py"
    )
    missing = {heading for heading in with_commands if f'"{heading}"' not in tests}
    assert with_commands
    assert not missing
