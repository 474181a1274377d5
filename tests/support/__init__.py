"""What tests and benchmarks share: a real broker, a faulty network, data, and a checker."""
