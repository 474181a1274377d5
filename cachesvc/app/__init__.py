"""The composition root: builds a service, or a reader, from its settings and runs it to its end.

Nothing is imported here. A reader process takes half as long to start without what only the service
needs, and the first subscriber of a connection waits for it.
"""
