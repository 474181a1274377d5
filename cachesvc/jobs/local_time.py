"""Times of day on a calendar that may change its offset."""

from datetime import datetime, time, timedelta, tzinfo

from cachesvc.policy.model_refresh import LoadTimes

_DAYS_AROUND = range(-2, 3)
"""A zone may leave out a date, as those did that changed sides of the date line."""


def load_times(now_ms: int, time_of_day: str, zone: tzinfo | None = None) -> LoadTimes:
    """The moments around the present at which a clock on the wall shows a time of day.

    There is one for every date: of a time that comes twice the first one, and for a time that is
    left out the moment as far behind midnight as it would have been.

    Args:
        now_ms: The present.
        time_of_day: HH:MM.
        zone: Whose clock; None is this machine's.
    """
    at = time.fromisoformat(time_of_day)
    today = datetime.fromtimestamp(now_ms / 1000, zone).date()
    moments = [
        round(datetime.combine(today + timedelta(days), at, zone).timestamp() * 1000)
        for days in _DAYS_AROUND
    ]
    return LoadTimes(
        max(moment for moment in moments if moment <= now_ms),
        min(moment for moment in moments if moment > now_ms),
    )
