"""The domain: the task, its events, and the decisions about it, all of them pure.

It knows the standard library and eventsourcing's base class, and nothing of the service around it.
"""
