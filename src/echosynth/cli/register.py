"""`echosynth register`: the final classifier into the registry."""

import click


@click.command()
def run() -> int:
    """Register models/final as a new version; no alias moves.

    The same weights and card are registered once.
    """
    from echosynth.registry.register import register_final  # MLflow and PyTorch take seconds to import

    found = register_final()
    was = "registered as" if found.created else "was registered before as"
    print(f"{was} version {found.version} of {found.name}; `echosynth promote {found.version}` puts it into use")
    return 0
