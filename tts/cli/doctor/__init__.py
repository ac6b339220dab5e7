"""``tts doctor``: looks at everything that the service stands on, and changes nothing of it.

One file looks at this machine, one at the services; :mod:`command` prints what they found.
"""
