"""Real servers for tests: private, on free ports, in folders of their own, gone with the run.

Each class starts its server when it is made, and has ``url`` and ``stop()``. All calls block; a
test that runs on an event loop uses ``asyncio.to_thread``. A missing binary is a failure that names
the command that mends it.
"""
