"""A real broker whose listeners want something: passwords, certificates, Kerberos tickets."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self

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
from tests.support.kdc import Kdc, missing_kdc
from tests.support.ports import HOST, free_ports
from tests.support.reading import QUIET

_HOSTS = (ADVERTISED_HOST, f"IP:{HOST}")
_PASSWORD_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_ACL_S = 30.0


class SecuredBroker:
    """One node with a listener per kind of security, and rights; used in `with`.

    Users, each with the password `<name>-secret`: `alice` may read every topic, `wendy` may read
    and write, `mallory` may do nothing. With a client certificate or a ticket they are the same
    users. The listeners:

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
        self.broker: KafkaBroker

    def address(self, listener: str) -> str:
        """HOST:PORT of a listener."""
        return self._listeners[listener].bootstrap

    def certificate_of(self, user: str) -> Certificate:
        """A client certificate of a user, signed by the authority that the broker trusts."""
        if user not in self._certificates:
            self._certificates[user] = self.authority.issue(user)
        return self._certificates[user]

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
    rights = [
        ("alice", AclOperation.READ),
        ("wendy", AclOperation.READ),
        ("wendy", AclOperation.WRITE),
    ]
    bindings = [
        AclBinding(
            ResourceType.TOPIC,
            "*",
            ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            operation,
            AclPermissionType.ALLOW,
        )
        for user, operation in rights
    ]
    for granted in admin.create_acls(bindings).values():
        granted.result(_ACL_S)
