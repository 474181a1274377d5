"""``cachesvc monitoring``: what Prometheus and Grafana are given."""

from importlib.resources import files

import typer

from cachesvc.cli.command import talks_to_service
from cachesvc.cli.options import Common

monitoring_app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@monitoring_app.callback()
def monitoring() -> None:
    """Print alert rules for Prometheus, or a dashboard for Grafana; docs/monitoring.md."""


@monitoring_app.command("rules")
@talks_to_service
def rules(settings: Common) -> None:
    """Print alert rules, a YAML file for rule_files of prometheus.yml.

    They take a scrape job named "cachesvc".
    """
    del settings
    _print("rules.yml")


@monitoring_app.command("dashboard")
@talks_to_service
def dashboard(settings: Common) -> None:
    """Print a dashboard, JSON to import into Grafana."""
    del settings
    _print("dashboard.json")


def _print(name: str) -> None:
    text = files("cachesvc.web").joinpath("monitoring", name).read_text(encoding="utf-8")
    typer.echo(text, nl=False)
