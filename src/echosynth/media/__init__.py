"""From a file to frames: what is wrong with it, DICOM, video, stills."""
