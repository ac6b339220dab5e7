"""The queue between the relay and the processors: in-process, or RabbitMQ."""
