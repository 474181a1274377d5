"""A real broker whose listeners want something: passwords, certificates, Kerberos tickets."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.support.certificates import Authority, Certificate
from tests.support.kafka_broker import KafkaBroker
from tests.support.kafka_properties import ADVERTISED_HOST, SecuredListener, Security
from tests.support.kdc import REALM, Kdc, missing_kdc
from tests.support.ports import HOST, free_ports
from tests.support.reading import QUIET

_HOSTS = (ADVERTISED_HOST, f"IP:{HOST}")
_PASSWORD_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_ACL_S = 30.0


class SecuredBroker:
    """One node with a listener per kind of security, and rights; used in `with`.

    Users, each with the password `<name>-secret`: `alice` may read every topic, `wendy` may read
    and write, also in transactions of sync tasks, and describe the cluster, `mallory` may see
    topics that begin with `seen-`, and do nothing else. With a client certificate or a ticket they
    are the same users. The listeners:

    | name | what it wants |
    |---|---|
    | PASSWORD | TLS, and a password by PLAIN or SCRAM |
    | CLEAR | a password by PLAIN or SCRAM, without TLS |
    | MUTUAL | TLS with a client's certificate |
    | EXPIRED | TLS; its certificate has expired |
    | STRANGE | TLS; its certificate is for another host |
    | SOON | TLS; its certificate is about to expire |
    | KERBEROS | TLS and a ticket; only where a KDC can run |

    Attributes:
        broker: Its plain listener, `bootstrap`, is for administrators.
        authority: Signed every certificate but that of a stranger.
        kdc: None where none can run.
    """

    def __init__(self, directory: Path, *, jvm_options: tuple[str, ...] = ()) -> None:
        self._directory = directory
        self._stack = contextlib.ExitStack()
        self.authority = Authority(directory / "certificates")
        self.kdc = Kdc(directory / "kdc") if missing_kdc() is None else None
        self._jvm_options = jvm_options
        self._listeners: dict[str, SecuredListener] = {}
        self._certificates: dict[str, Certificate] = {}
        self._keytabs: dict[str, Path] = {}
        self.broker: KafkaBroker

    def address(self, listener: str) -> str:
        """HOST:PORT of a listener."""
        return self._listeners[listener].bootstrap

    def certificate_of(self, user: str) -> Certificate:
        """A client certificate of a user, signed by the authority that the broker trusts."""
        if user not in self._certificates:
            self._certificates[user] = self.authority.issue(user)
        return self._certificates[user]

    def connection(self, name: str, listener: str, **tables: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of a connection: where, and the tables that say how."""
        return {"name": name, "bootstrap_servers": [self.address(listener)], **tables}

    def tls(self, user: str | None = None) -> dict[str, str]:
        """A `tls` table that trusts the authority, with a user's certificate."""
        table = {"ca_file": str(self.authority.certificate)}
        if user is not None:
            mine = self.certificate_of(user)
            table |= {"certificate_file": str(mine.certificate), "key_file": str(mine.key)}
        return table

    def sasl(self, user: str, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """A `sasl` table with a user's password in a file of its own."""
        file = self._directory / f"{user}-{mechanism}.password"
        file.write_text(self.password_of(user))
        return {"mechanism": mechanism, "username": user, "password_file": str(file)}

    def kerberos(self, user: str) -> dict[str, str]:
        """A `kerberos` table with a user's keytab."""
        assert self.kdc is not None, missing_kdc()
        if user not in self._keytabs:
            self._keytabs[user] = self.kdc.keytab(user)
        return {
            "principal": self.principal(user),
            "keytab_file": str(self._keytabs[user]),
            "krb5_file": str(self.kdc.krb5_file),
        }

    @staticmethod
    def principal(user: str) -> str:
        """A user's name in the realm."""
        return f"{user}@{REALM}"

    @staticmethod
    def password_of(user: str) -> str:
        """What a user signs in with."""
        return f"{user}-secret"

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            if self.kdc is not None:
                stack.enter_context(self.kdc)
            self._listeners = {made.name: made for made in self._make_listeners()}
            self.broker = KafkaBroker(
                self._directory / "kafka",
                jvm_options=self._jvm_options,
                security=self._security(),
            )
            stack.enter_context(self.broker)
            _grant(self.broker.bootstrap)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _security(self) -> Security:
        options = []
        if self.kdc is not None:
            options.append(f"-Djava.security.krb5.conf={self.kdc.krb5_file}")
        return Security(
            tuple(self._listeners.values()),
            {user: self.password_of(user) for user in ("alice", "wendy", "mallory")},
            {
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users": "User:ANONYMOUS",
                "ssl.principal.mapping.rules": "RULE:^CN=([a-z]+)$/$1/",
            },
            options,
        )

    def _make_listeners(self) -> list[SecuredListener]:
        issue = self.authority.issue
        good = self._tls(issue("broker", _HOSTS))
        soon = self._tls(issue("soon", _HOSTS, days=5))
        expired = self._tls(issue("expired", _HOSTS, days=-1))
        strange = self._tls(issue("strange", ("elsewhere.test",)))
        mutual = good | {"ssl.client.auth": "required"}
        kinds = [
            ("PASSWORD", "SASL_SSL", good | self._passwords()),
            ("CLEAR", "SASL_PLAINTEXT", self._passwords()),
            ("MUTUAL", "SSL", mutual),
            ("EXPIRED", "SSL", expired),
            ("STRANGE", "SSL", strange),
            ("SOON", "SASL_SSL", soon | self._passwords()),
        ]
        if self.kdc is not None:
            kinds.append(("KERBEROS", "SASL_SSL", good | self._tickets(self.kdc)))
        ports = free_ports(len(kinds))
        return [
            SecuredListener(*kind[:2], port, kind[2])
            for kind, port in zip(kinds, ports, strict=True)
        ]

    def _tls(self, certificate: Certificate) -> dict[str, str]:
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(certificate.both),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.certificate),
        }

    def _passwords(self) -> dict[str, str]:
        plain = " ".join(
            f'user_{user}="{self.password_of(user)}"' for user in ("alice", "wendy", "mallory")
        )
        modules = "org.apache.kafka.common.security"
        scram = f"{modules}.scram.ScramLoginModule required;"
        return {
            "sasl.enabled.mechanisms": ",".join(_PASSWORD_MECHANISMS),
            "plain.sasl.jaas.config": f"{modules}.plain.PlainLoginModule required {plain};",
            "scram-sha-256.sasl.jaas.config": scram,
            "scram-sha-512.sasl.jaas.config": scram,
        }

    def _tickets(self, kdc: Kdc) -> dict[str, str]:
        principal = f"kafka/{ADVERTISED_HOST}"
        keytab = kdc.keytab(principal)
        module = "com.sun.security.auth.module.Krb5LoginModule"
        options = f'useKeyTab=true storeKey=true keyTab="{keytab}" principal="{principal}"'
        return {
            "sasl.enabled.mechanisms": "GSSAPI",
            "sasl.kerberos.service.name": "kafka",
            "gssapi.sasl.jaas.config": f"{module} required {options};",
        }


def _grant(bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})
    bindings = [
        _right("alice", AclOperation.READ),
        _right("wendy", AclOperation.READ),
        _right("wendy", AclOperation.WRITE),
        _right("wendy", AclOperation.WRITE, ResourceType.TRANSACTIONAL_ID, prefix="cachesvc-sync-"),
        _right("wendy", AclOperation.DESCRIBE, ResourceType.BROKER, "kafka-cluster"),
        _right("mallory", AclOperation.DESCRIBE, prefix="seen-"),
    ]
    for granted in admin.create_acls(bindings).values():
        granted.result(_ACL_S)


def _right(
    user: str, operation: Any, resource: Any = ResourceType.TOPIC, name: str = "*", prefix: str = ""
) -> Any:
    pattern = ResourcePatternType.PREFIXED if prefix else ResourcePatternType.LITERAL
    who = f"User:{user}"
    return AclBinding(
        resource, prefix or name, pattern, who, "*", operation, AclPermissionType.ALLOW
    )
