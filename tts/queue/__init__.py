"""The queue between the relay and the processors: in-process, or RabbitMQ.

An adapter: it implements ports, and knows no other adapter.
"""
