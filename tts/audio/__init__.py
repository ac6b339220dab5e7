"""Where finished audio lies: a folder, or MinIO (any S3).

An adapter: it implements a port, and knows no other adapter.
"""
