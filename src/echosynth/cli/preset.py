"""`echosynth preset`: change params.yaml to one of the presets."""

import click

from echosynth.config.presets import apply_preset, preset_names


@click.command()
@click.argument("name", required=False)
def run(name: str | None) -> int:
    """Write the values of params/NAME.yaml into params.yaml, whose comments stay; without NAME, list all presets.

    `dvc params diff` shows the same changes.
    """
    if not name:
        print("\n".join(preset_names()))
        return 0
    changed = apply_preset(name)
    for key, (old, new) in changed.items():
        print(f"{key}: {old} -> {new}")
    if changed:
        print(f"params.yaml now holds preset {name}; `git checkout params.yaml` takes it back")
    else:
        print(f"params.yaml holds preset {name} already")
    return 0
