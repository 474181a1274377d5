"""What runs one task: from the source's batches to deliveries that the sink has confirmed.

``source`` is where batches come from and positions go, ``preparing`` applies transforms in a
thread, ``pending`` makes deliveries, ``delivering`` writes them and deals with what is refused
(``narrowing`` decides, ``letters`` keeps), ``confirming`` stores positions behind it, and
``pipeline`` joins them for as long as one subscription lasts. ``progress`` counts.
"""
