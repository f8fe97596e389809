"""The typed parameters: params.yaml, put together from the options of the rooms, and its presets."""
