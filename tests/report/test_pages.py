"""The pages stand side by side: what two of them need lies beside their folders."""

import pytest

from echosynth.common.imports import PACKAGE, imported_files

REPORT = PACKAGE / "report"


@pytest.mark.parametrize("page", ["study", "data_card", "explorations"])
def test_a_page_imports_none_of_another(page: str) -> None:
    files = {file for path in (REPORT / page).glob("*.py") for file in imported_files(path)}
    folders = {file.relative_to(REPORT).parts[0] for file in files if file.is_relative_to(REPORT)}
    assert page in folders
    assert {name for name in folders if (REPORT / name).is_dir()} == {page}
