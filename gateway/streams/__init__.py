"""The open streams: the hub that follows the log, SSE and WebSocket connections.

It knows the log and the wire, and no route.
"""
