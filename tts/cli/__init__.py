"""The command line, and the only place where tts, gateway and projections meet.

It may know everything; nothing knows it.
"""
