"""What has to run for alarms, built from its settings."""

from collections.abc import Callable, Coroutine

from cachesvc.alarms.facts import Observed
from cachesvc.alarms.watch import AlarmWatch
from cachesvc.alarms.webhook import Webhook, read_token
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.policy.alarms import Thresholds
from cachesvc.settings.alarms import AlarmsConfig


def alarm_tasks(
    config: AlarmsConfig, catalogue: CatalogueThread, observed: Observed
) -> tuple[AlarmWatch, list[Callable[[], Coroutine[None, None, None]]]]:
    """The watch, and coroutine functions that run until cancelled: its own and the webhook's.

    Raises:
        InvalidConfig: The webhook's token cannot be read.
    """
    thresholds = Thresholds(
        config.lag_records_max,
        config.lag_s_max,
        config.retention_margin_s,
        config.retention_margin_percent / 100,
        int(config.raise_after_s * 1000),
        int(config.clear_after_s * 1000),
    )
    url, every_s = config.webhook_url, config.interval_s
    if not url:
        watch = AlarmWatch(catalogue, observed.facts, thresholds, every_s, notify=False)
        return watch, [watch.run]
    webhook = Webhook(catalogue, url, read_token(config), config.webhook_timeout_s)
    watch = AlarmWatch(
        catalogue, observed.facts, thresholds, every_s, notify=True, told=webhook.wake
    )
    return watch, [watch.run, webhook.run]
