"""All releases by the name that they have in params.yaml and under data.root."""

from echosynth.sources import camus, echonet_dynamic, echonet_lvh, tmed2, unity
from echosynth.sources.base import Source

SOURCES: dict[str, Source] = {
    module.SOURCE.name: module.SOURCE for module in (echonet_dynamic, echonet_lvh, tmed2, camus, unity)
}
