"""Echosynth: synthetic echocardiograms for view classification, judged and compared."""

__version__ = "0.1.0"
