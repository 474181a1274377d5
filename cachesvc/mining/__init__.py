"""The Kafka edge: reader processes, and the service's view of clusters."""
