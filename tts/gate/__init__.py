"""The gates: the one before Replicate, which all processes share, and that of the audio store.

It knows the domain and the ports; the decisions (``state``) are pure.
"""
