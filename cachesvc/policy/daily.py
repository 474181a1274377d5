"""When a job runs that runs once a day.

What was missed, because the service did not run or the job was paused, is done once, as soon as it
can be. A run by hand counts for its day.
"""

from cachesvc.policy.model_refresh import LoadTimes


def next_daily_ms(last_ms: int | None, now_ms: int, times: LoadTimes) -> int:
    """When it has to run next; ``now_ms``: now.

    Args:
        last_ms: When it last began; None if it never ran, so that nothing was missed. In the
            future it was before the clock was set back.
        now_ms: The present.
        times: The moments of its time of day around the present.
    """
    missed = last_ms is not None and last_ms < times.previous_ms
    return now_ms if missed else times.next_ms
