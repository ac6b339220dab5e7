"""From the log to the queue: publishes what events order, by fair turns, and rescues what was lost.

It knows the domain, the ports and the use cases; nothing else publishes.
"""
