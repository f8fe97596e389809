"""How fast the parts of the project are on this machine."""
