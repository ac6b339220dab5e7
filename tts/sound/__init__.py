"""Sound: what a file of audio is, and how several become one.

Pure functions over bytes and files; it knows the errors of the domain.
"""
