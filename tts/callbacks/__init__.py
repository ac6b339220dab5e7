"""Callbacks: tells those who asked for it that their task is over.

At least once, from the log, for a day.
"""
