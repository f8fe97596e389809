"""The ground on which all rooms stand: files, progress, resumable states, errors."""
