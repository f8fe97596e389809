"""What the parameters ask for, before anything starts: work, hours, memory, disk, energy."""
