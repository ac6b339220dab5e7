"""Measurements against bare baselines, in one run on one machine: ratios are what counts."""
