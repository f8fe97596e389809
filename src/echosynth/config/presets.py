"""Presets: overlays `params/<name>.yaml` that change some of params.yaml and leave its comments."""

import io
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from echosynth.common.errors import EchosynthError
from echosynth.common.files import atomic_file
from echosynth.common.yaml12 import read_yaml
from echosynth.config.parameters import Params, parse_params

PARAMS = Path("params.yaml")


def preset_names(params: Path = PARAMS) -> list[str]:
    """List the presets beside a parameter file, in alphabetical order."""
    return sorted(path.stem for path in (params.parent / "params").glob("*.yaml"))


def overlay(name: str, params: Path = PARAMS) -> dict[str, dict[str, Any]]:
    """Read what a preset changes: section -> key -> value.

    Raises:
        EchosynthError: there is no such preset, or its file is no YAML.
    """
    if name not in preset_names(params):
        raise EchosynthError(f"there is no preset {name!r}; known are {', '.join(preset_names(params))}")
    return read_yaml(params.parent / "params" / f"{name}.yaml") or {}


def with_preset(name: str, params: Path = PARAMS) -> Params:
    """Return the parameters as a preset would make them.

    Raises:
        EchosynthError: see `overlay`, or the result is not allowed.
    """
    tree = read_yaml(params)
    _merge(tree, overlay(name, params))
    return parse_params(tree, f"params/{name}.yaml over {params}")


def apply_preset(name: str, params: Path = PARAMS) -> dict[str, tuple[Any, Any]]:
    """Write a preset's values into the parameter file; comments and order stay.

    Returns:
        "section.key" -> old and new value, for those that changed.

    Raises:
        EchosynthError: see `with_preset`; nothing is written then.
    """
    with_preset(name, params)
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 10_000
    tree = yaml.load(params.read_text(encoding="utf-8"))
    changed = _merge(tree, overlay(name, params))
    text = io.StringIO()
    yaml.dump(tree, text)
    with atomic_file(params) as part:
        part.write_text(text.getvalue(), encoding="utf-8")
    return changed


def _merge(tree: Any, changes: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Change a tree in place; see `apply_preset` for the result. Lists are replaced in place, so that they stay on one
    line."""
    changed: dict[str, tuple[Any, Any]] = {}
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(tree.get(key), Mapping):
            changed |= _merge(tree[key], value, f"{prefix}{key}.")
        elif key not in tree or tree[key] != value:
            changed[f"{prefix}{key}"] = (deepcopy(tree.get(key)), value)
            if isinstance(value, list) and isinstance(tree.get(key), list):
                tree[key][:] = value
                if hasattr(tree[key], "fa"):  # an empty list has forgotten its style when it is filled
                    tree[key].fa.set_flow_style()
            else:
                tree[key] = value
    return changed
