"""The text-to-speech service: domain, ports, use cases, processor, relay, and their adapters."""
