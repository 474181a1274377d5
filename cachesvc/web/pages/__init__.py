"""The pages in the browser: a module and a template each.

A page asks the service by gRPC, as whoever has signed in, makes plain values of the answers and has
its template show them. It reaches nothing else of the service, so that what is allowed, bounded and
audited over gRPC is so here. ``PAGES`` has them in the order of the navigation.
"""

from cachesvc.web.pages.every_page import PAGES

__all__ = ["PAGES"]
