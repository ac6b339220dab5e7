"""HTTP to the outside: the connections under httpx, and the bounded reader.

Adapters use it; it knows the ports' errors alone.
"""
