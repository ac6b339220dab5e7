"""One module for each group of routes; each has ``add_to(app, services)``."""
