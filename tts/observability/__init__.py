"""What operators see: logs, metrics, traces, health, who is at work, and the server that shows it.

It hooks into the core, which knows nothing of it.
"""
