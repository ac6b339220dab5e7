"""What the service needs from the outside, one protocol (or a few that belong together) a file.

Each port has two implementations that pass one contract suite (``tests/contract``). An adapter
translates its vendor's errors into ``StepError`` or ``Unavailable``, once, and nothing above it
sees a vendor's type; a port knows the domain alone.
"""
