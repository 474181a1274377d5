"""Who may call, what they may have, and what they did."""

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from cachesvc.access.registry import Registry
from cachesvc.audit.file import AuditFile
from cachesvc.audit.trail import AuditTrail
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.policy.caller_bounds import CallerLimits
from cachesvc.settings.access import AccessConfig, access_is_on
from cachesvc.settings.audit import AuditConfig
from cachesvc.settings.callers import CallersConfig
from cachesvc.settings.config import Config
from cachesvc.watching.calls import Calls

if TYPE_CHECKING:
    from cachesvc.access.jwt import JwtIssuer


@dataclass(frozen=True, slots=True)
class Callers:
    """What a service knows of those who call.

    Attributes:
        access: Principals, roles and tokens.
        issuer: Whose JWTs are taken; None where there are none.
        audit: Who changed what.
        limits: What each may have.
        calls: How many calls there were.
    """

    access: Registry
    issuer: "JwtIssuer | None"
    audit: AuditTrail
    limits: CallerLimits
    calls: Calls = field(default_factory=Calls)


async def load_callers(config: Config, catalogue: CatalogueThread) -> Callers:
    """Builds it, with what is durable."""
    access = Registry(config.access, catalogue)
    await access.load()
    audit = AuditTrail(catalogue, _audit_file(config.audit))
    issuer = await _issuer(config.access, access)
    return Callers(access, issuer, audit, _limits(config.callers))


async def _issuer(config: AccessConfig, access: Registry) -> "JwtIssuer | None":
    """The issuer of JWTs; None where nobody is known by one, which costs not even the imports."""
    if config.jwt is None:
        return None
    issuer: JwtIssuer = import_module("cachesvc.access.jwt").JwtIssuer(
        config.jwt, access.roles_by_name
    )
    await issuer.refresh()
    return issuer


def _audit_file(config: AuditConfig) -> AuditFile | None:
    if config.file is None:
        return None
    return AuditFile(Path(config.file), config.file_bytes_max, config.files_kept)


def _limits(config: CallersConfig) -> CallerLimits:
    return CallerLimits(
        config.streams_max,
        config.calls_per_s_max,
        config.bytes_per_s_max,
        config.subscriptions_max,
        config.request_bytes_max,
    )


def is_guarded(config: Config) -> bool:
    """Whether callers show who they are."""
    server = config.server
    return access_is_on(config.access, server.addresses, server.insecure)
