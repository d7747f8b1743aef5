"""Trains and evaluates the networks that annotate cryo-EM maps."""

__version__ = "0.1.0"
