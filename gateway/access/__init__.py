"""Who asks, what that one may do, and whether it was enough for now.

Roles, keys, limits and signatures; it knows nothing of tasks.
"""
