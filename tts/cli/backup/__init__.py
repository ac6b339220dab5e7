"""``tts backup`` and ``tts restore``: the log, the keys, and audio that lies in a folder of ours.

Read models are not in it: they come out of the log again.
"""
