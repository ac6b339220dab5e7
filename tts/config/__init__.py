"""Every setting of the service. Only this package reads the environment."""

from tts.config.settings import ConfigError, Settings, load

__all__ = ["ConfigError", "Settings", "load"]
