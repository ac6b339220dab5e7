"""Every setting of the service. Only this package reads the environment."""

from tts.config.addresses import file_of
from tts.config.loading import ConfigError, load, strange_names
from tts.config.settings import ENV_FILE, Settings

__all__ = ["ENV_FILE", "ConfigError", "Settings", "file_of", "load", "strange_names"]
