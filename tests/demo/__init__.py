"""What `scripts/demo` runs: the service with a broker stand-in, or a real Kafka, and some tasks."""
