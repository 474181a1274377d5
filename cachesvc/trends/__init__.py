"""Trends: what was mined and sent, and how far all was behind, over the last hour.

``trends.Trends`` measures the service, each topic and each subscription every few seconds and keeps
what it found in ``policy.rings``, so that charts begin filled. Nothing of it is durable: a service
that starts anew has no past. What is measured is in ``measured.Measured``.
"""
