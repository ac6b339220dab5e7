"""The HTTP side: commands, queries and streams over Sanic."""
