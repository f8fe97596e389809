"""The ground on which all rooms stand: files, devices, progress, resumable states, errors."""
