"""What the tests cost, file by file: seconds, processor seconds (child processes included) and processes started.

As a plugin, it adds the two last numbers of each test to the JUnit file, the way that pytest has for such things:

    python -m pytest -p bench.testing --junitxml=junit.xml
    python -m bench.testing junit.xml              # prints the table; with --json for bench/results

On a machine that others use too, compare processor seconds.
"""

import argparse
import json
import resource
import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Generator, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

STARTS = {"subprocess.Popen", "os.fork", "os.posix_spawn"}
_started = 0


def _count(event: str, arguments: tuple[Any, ...]) -> None:
    global _started
    _started += event in STARTS


def _processor_seconds() -> float:
    """Of this process and of all that it waited for, with theirs."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count the processes that this one starts."""
    sys.addaudithook(_count)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    """Remember where the numbers stood before a test and its fixtures."""
    item.stash[_BEFORE] = (_processor_seconds(), _started)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """Add what a test and its fixtures took, which pytest writes into the JUnit file."""
    try:
        return (yield)
    finally:
        seconds, started = item.stash[_BEFORE]
        item.user_properties += [("processor", f"{_processor_seconds() - seconds:.3f}"), ("starts", _started - started)]


_BEFORE = pytest.StashKey[tuple[float, int]]()


@dataclass
class Cost:
    """What the tests of one file cost.

    Attributes:
        tests: their number.
        seconds: by the clock, fixtures included.
        processor: seconds of processor time, those of child processes included.
        starts: processes that the tests started themselves; those that these started in turn are not counted.
    """

    tests: int = 0
    seconds: float = 0.0
    processor: float = 0.0
    starts: int = 0


def costs(documents: Iterable[Path]) -> dict[str, Cost]:
    """Sum up JUnit files of pytest by file of tests, the dearest first.

    Raises:
        SystemExit: one of them is no JUnit file.
    """
    found: dict[str, Cost] = defaultdict(Cost)
    for document in documents:
        try:
            cases = list(ET.parse(document).iter("testcase"))
        except (OSError, ET.ParseError) as error:
            raise SystemExit(f"error: {document} is no JUnit file of pytest --junitxml ({error})") from error
        for case in cases:
            cost = found[case.get("classname", "").replace(".", "/") + ".py"]
            properties = {each.get("name"): each.get("value", "0") for each in case.iter("property")}
            cost.tests += 1
            cost.seconds += float(case.get("time", 0))
            cost.processor += float(properties.get("processor", 0))
            cost.starts += int(properties.get("starts", 0))
    return dict(sorted(found.items(), key=lambda item: -item[1].processor))


def main() -> None:
    """Print the table of some JUnit files, as text or as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.testing", description=__doc__)
    parser.add_argument("documents", nargs="+", type=Path, help="what pytest wrote with --junitxml")
    parser.add_argument("--json", action="store_true", help="print JSON, as in bench/results")
    options = parser.parse_args()
    table = costs(options.documents)
    total = Cost(*(sum(column) for column in zip(*(asdict(cost).values() for cost in table.values()), strict=True)))
    if options.json:
        rows = {name: asdict(cost) for name, cost in {**table, "all": total}.items()}
        rounded = {name: {key: round(value, 1) for key, value in row.items()} for name, row in rows.items()}
        print(json.dumps(rounded, indent=1))
        return
    print(f"{'processor':>9} {'seconds':>8} {'tests':>6} {'starts':>6}")
    for name, cost in {**table, "all": total}.items():
        print(f"{cost.processor:9.1f} {cost.seconds:8.1f} {cost.tests:6} {cost.starts:6}  {name}")


if __name__ == "__main__":
    main()
