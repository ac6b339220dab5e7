"""Text: where it is split, and how fast it can be spoken.

Pure, and it knows nothing of the service.
"""
