"""``cachesvc serve``: the service itself."""

import os

import typer

from cachesvc.app.service import run_service
from cachesvc.cli.service_options import (
    ConfigFile,
    Insecure,
    Kafka,
    Listen,
    LogFormat,
    LogLevel,
    Store,
    Topics,
)
from cachesvc.logs import configure_logging
from cachesvc.settings.layers import Overrides, load_config


def serve(
    config: ConfigFile = None,
    kafka: Kafka = None,
    topics: Topics = None,
    store: Store = None,
    listen: Listen = None,
    insecure: Insecure = False,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> None:
    """Run the service.

    It owns the store, serves gRPC and starts its reader processes by itself; SIGTERM and Ctrl-C
    end it cleanly. Settings come from the file, then CACHESVC_<SECTION>__<FIELD>, then flags.
    """
    overrides = Overrides(
        kafka=kafka,
        topics=topics,
        store=store,
        listen=listen,
        insecure=insecure or None,
        log_level=log_level,
        log_format=log_format,
    )
    settings = load_config(config, os.environ, overrides)
    configure_logging(settings.log)
    raise typer.Exit(run_service(settings))
