"""All pages, in the order of the navigation."""

from cachesvc.web.page import Page
from cachesvc.web.pages import (
    alarms,
    audit,
    connections,
    jobs,
    mining,
    overview,
    readers,
    sql,
    stores,
    subscriptions,
    topics,
)

PAGES: tuple[Page, ...] = (
    overview.PAGE,
    topics.PAGE,
    subscriptions.PAGE,
    mining.PAGE,
    readers.PAGE,
    connections.PAGE,
    stores.PAGE,
    jobs.PAGE,
    alarms.PAGE,
    audit.PAGE,
    sql.PAGE,
)
