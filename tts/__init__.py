"""The text-to-speech service: domain, application, processor, relay and their adapters."""
