"""Which recordings are plain B-mode: colours, groups, decisions."""
