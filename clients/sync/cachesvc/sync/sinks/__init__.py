"""The sinks that come with this distribution; each module exports one kind."""
