"""When rows may go into the table without waiting in another one."""


class StraightCopy:
    """Decides whether to copy straight into the table.

    That costs half as much as a merge and works as long as no row is there yet, as in an initial
    load. One that meets a row is undone and merged instead; then so many copies are merged before
    the next try, twice as many each time.
    """

    _WAIT_MAX = 1024

    def __init__(self) -> None:
        self._wait = 0
        self._left = 0

    def worth_a_try(self) -> bool:
        """Whether to try it with the next copy; asked once for each."""
        if self._left:
            self._left -= 1
            return False
        return True

    def met_a_row(self) -> None:
        """The last try was in vain."""
        self._wait = min(max(1, 2 * self._wait), self._WAIT_MAX)
        self._left = self._wait

    def went_well(self) -> None:
        """The last try was not."""
        self._wait //= 2
