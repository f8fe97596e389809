"""YAML with the floats of version 1.2, as DVC writes and reads it."""

import re
from pathlib import Path
from typing import Any

import yaml

from echosynth.errors import EchosynthError


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # ten times as fast where it is built
    """A safe loader that takes 2e-05 for a number: PyYAML reads it as text (YAML 1.1), but DVC writes floats so."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(\d+\.\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(inf|Inf|INF))$|^\.(nan|NaN|NAN)$"
    ),
    list("-+0123456789."),
)


def read_yaml(path: Path | str) -> Any:
    """Read a YAML file with the floats of YAML 1.2.

    Raises:
        EchosynthError: the file is missing or is no YAML.
    """
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), Loader=Loader)  # noqa: S506  (a safe loader)
    except FileNotFoundError:
        raise EchosynthError(f"{path} is missing; run from the project's root") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise EchosynthError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from None
