"""The one gate before Replicate: a circuit breaker and limits that all processes share.

It knows the domain and the ports; the decisions (``state``) are pure.
"""
