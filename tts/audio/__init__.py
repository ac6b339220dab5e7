"""Where finished audio lies, and what it is."""
