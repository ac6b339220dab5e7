"""What operators see: logs, metrics, health, and the small server that shows them.

It hooks into the core, which knows nothing of it.
"""
