"""Replicate's API: predictions, their documents and errors, and the secret of its webhooks.

An adapter: it implements ports, and knows no other adapter.
"""
