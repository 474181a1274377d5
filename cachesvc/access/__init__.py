"""Who may call: principals, the roles they have, and what shows who a caller is.

* ``tokens`` makes tokens and says what is kept of one: its digest.
* ``principals`` has roles and principals, ``registry`` tokens too, and tells the caller from what
  was shown. Both are in the catalogue, beside those of the settings, and whole in memory, so that a
  call waits for nothing.

What a caller may do is decided elsewhere, from ``Registry.grants``. Begin with ``registry``.
"""
