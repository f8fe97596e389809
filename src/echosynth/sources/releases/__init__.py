"""One module a release: its `SOURCE` is found by the registry, its name is the module's with hyphens."""
