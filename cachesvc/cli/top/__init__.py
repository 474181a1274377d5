"""``cachesvc top``: how a service is doing, live.

A ``Sample`` is what its calls say at one moment (``sample``); ``Figures`` are one and the one
before it, between which there are rates (``figures``). ``views`` says which rows and columns there
are, ``facts`` what is told of all together, ``display`` what of it is shown and what keys do about
that, ``drawing`` what that looks like; all of this is values and functions. ``live`` has the
terminal and the thread that asks. Begin with ``command``.
"""
