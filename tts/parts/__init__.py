"""Parts that take more than a line to make of the settings; :mod:`tts.bootstrap` composes them."""
