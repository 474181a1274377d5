"""Settings of alarms; the webhook's token is never among them, only where it is."""

from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from cachesvc.settings.connection import FilePath, Variable
from cachesvc.settings.validation import setting_error


class AlarmsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[alarms]``: what somebody has to know of, and who is told."""

    # Seconds between looks. 0.1 to 86,400.
    interval_s: Annotated[float, Meta(ge=0.1, le=86_400)] = 5.0
    # Offsets that the mining of a topic may be behind the source; 0: any. Up to 2^53.
    lag_records_max: Annotated[int, Meta(ge=0, le=1 << 53)] = 0
    # Seconds that it may be behind; 0: any. Up to a hundred years.
    lag_s_max: Annotated[float, Meta(ge=0, le=3_153_600_000)] = 600.0
    # Seconds before retention takes what a subscription has not read; at most a quarter of the
    # retention counts. 0: no alarm. Up to a hundred years.
    retention_margin_s: Annotated[float, Meta(ge=0, le=3_153_600_000)] = 21_600.0
    # Of a limit of bytes or records, the percent before its end at which a subscription that has
    # not read so far is named; and of a store's budget, before protected subscriptions fill it. 0:
    # no alarm. Up to 90.
    retention_margin_percent: Annotated[float, Meta(ge=0, le=90)] = 25.0
    # Seconds that something has to be wrong, and right again. 0 to 86,400.
    raise_after_s: Annotated[float, Meta(ge=0, le=86_400)] = 10.0
    clear_after_s: Annotated[float, Meta(ge=0, le=86_400)] = 30.0
    # http or https; what is raised and cleared is posted there as JSON. Empty: nobody is told.
    webhook_url: str = ""
    # Where the webhook's bearer token is: an environment variable, or a file. None or one of them.
    webhook_token_env: Variable | None = None
    webhook_token_file: FilePath | None = None
    # Seconds that the webhook may take to answer. 0.1 to 60.
    webhook_timeout_s: Annotated[float, Meta(ge=0.1, le=60)] = 10.0


def check_alarms(alarms: AlarmsConfig, source: str) -> None:
    """What the types do not say.

    Args:
        alarms: What to check.
        source: Where it comes from, for messages.

    Raises:
        InvalidConfig: The URL is none of a webhook, or the token has two places.
    """
    if alarms.webhook_url and not _is_webhook(alarms.webhook_url):
        advice = "write it as https://HOST[:PORT]/PATH"
        raise setting_error(source, "alarms.webhook_url", "is no URL of a webhook", advice)
    if alarms.webhook_token_env is not None and alarms.webhook_token_file is not None:
        problem = "contradicts webhook_token_env"
        raise setting_error(source, "alarms.webhook_token_file", problem, "leave out one of them")


def _is_webhook(url: str) -> bool:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return False
    return bool(fits) and url.isascii() and url.isprintable() and not {" ", "@"} & set(url)
