from __future__ import annotations

import pytest

from cachesvc.policy.sealing import SealCause, SealLimits, should_seal

LIMITS = SealLimits(bytes_max=1_000, records_max=50, age_ms_max=300)
OPENED_MS = 10_000


@pytest.mark.parametrize(
    ("size", "records", "age_ms", "cause"),
    [
        (999, 49, 299, None),
        (1_000, 1, 0, SealCause.SIZE),
        (1, 50, 0, SealCause.RECORDS),
        (1, 1, 300, SealCause.AGE),
        (1_000, 50, 300, SealCause.SIZE),
        (999, 50, 300, SealCause.RECORDS),
        # Frames that cover offsets without a record still have to be sealed some day.
        (40, 0, 299, None),
        (40, 0, 300, SealCause.AGE),
        # Nothing was appended.
        (0, 0, 0, None),
        (0, 0, 1_000_000, None),
        # The clock was set back after the journal was opened: a little, and by more than its age.
        (999, 49, -299, None),
        (999, 49, -300, SealCause.AGE),
        (1_000, 49, -5_000, SealCause.SIZE),
    ],
)
def test_should_seal(size: int, records: int, age_ms: int, cause: SealCause | None) -> None:
    assert should_seal(size, records, OPENED_MS, OPENED_MS + age_ms, LIMITS) is cause


@pytest.mark.parametrize("limits", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_refuses_limits_that_would_seal_everything(limits: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="below 1"):
        SealLimits(*limits)
