"""``make dist``: what is released, built, and tried out as somebody installs it."""
