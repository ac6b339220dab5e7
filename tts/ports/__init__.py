"""What the service needs from the outside, one protocol (or a few that belong together) a file.

Each port has two implementations that pass one contract suite (``tests/contract``); a port
knows the domain alone.
"""
