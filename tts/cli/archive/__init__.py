"""``tts archive``: events of tasks that are long over go from the log into files, and come back.

The texts stay beside the log, where they can be erased; no archive holds any.
"""
