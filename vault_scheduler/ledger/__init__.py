"""The durable record: runs, deliveries, requests, pins, spend."""
