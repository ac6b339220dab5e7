"""The use cases: load a task, let it decide, append what it decided.

It knows the domain and the ports, and no adapter.
"""
