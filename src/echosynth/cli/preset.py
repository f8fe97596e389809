"""`echosynth preset`: change params.yaml to one of the presets."""

import argparse

from echosynth.config.presets import apply_preset, preset_names


def run(arguments: argparse.Namespace) -> int:
    """Apply a preset and say what changed, or list all."""
    if not arguments.name:
        print("\n".join(preset_names()))
        return 0
    changed = apply_preset(arguments.name)
    for key, (old, new) in changed.items():
        print(f"{key}: {old} -> {new}")
    if changed:
        print(f"params.yaml now holds preset {arguments.name}; `git checkout params.yaml` takes it back")
    else:
        print(f"params.yaml holds preset {arguments.name} already")
    return 0
