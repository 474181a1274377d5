"""A form for connections: the settings of ``[[connections]]`` in the file."""

from cachesvc.v1.connection_test_pb2 import TestConnectionRequest
from cachesvc.v1.connections_pb2 import (
    Connection,
    CreateConnectionRequest,
    GetConnectionRequest,
    UpdateConnectionRequest,
)
from cachesvc.web.pages.checks import CONNECTION_TEST_S, connection_line
from cachesvc.web.settings_editor import Editable, SettingsEditor, Tests
from cachesvc.web.settings_form import YES, Group, Kind, Setting

_MAIN = Group(
    "Cluster",
    (
        Setting("name", "Name", "1 to 64 of A-Z, a-z, 0-9, _ and -; it stays", required=True),
        Setting(
            "bootstrap_servers",
            "Bootstrap servers",
            "HOST:PORT, one a line; all lead to one cluster",
            Kind.LINES,
            required=True,
        ),
        Setting(
            "type",
            "Type",
            "Whether topics are read from it, written to it, or both",
            Kind.CHOICE,
            ("source", "target", "both"),
            "source",
        ),
    ),
)
_MINING = Group(
    "Mining",
    (
        Setting(
            "topic_expression",
            "Topics",
            "An RE2 expression that has to match a topic's whole name",
            initial=".*",
        ),
        Setting(
            "log_caching",
            "Mine its topics into the cache",
            "Without it nothing can be subscribed to",
            Kind.SWITCH,
            initial=YES,
        ),
        Setting(
            "non_json_policy",
            "A record that is not a JSON object",
            "reject keeps it apart and goes on; stop stops mining that partition at it",
            Kind.CHOICE,
            ("reject", "stop"),
            "reject",
        ),
        Setting(
            "store",
            "Store",
            "Which takes what is mined: its name; local, the service's own; or default",
            initial="default",
        ),
        Setting("agent", "Reader", "Which mines its topics; empty: the service spreads them"),
        Setting(
            "model_load_time",
            "Models are loaded anew at",
            "HH:MM, where there are 10,000 or more; fewer are loaded every hour",
            initial="02:00",
        ),
        Setting(
            "snapshot_expression",
            "Topics of which snapshots are made",
            "An RE2 expression that has to match the whole name; empty: of none",
        ),
        Setting(
            "debezium_expression",
            "Topics whose values are Debezium's",
            'Likewise; in snapshots of them "op": "d" deletes a key',
        ),
    ),
)
_TLS = Group(
    "TLS",
    (
        Setting("tls.ca_file", "Authorities", "A PEM file; empty: those of the system"),
        Setting("tls.certificate_file", "Client's certificate", "A PEM file with its chain"),
        Setting("tls.key_file", "Key of that certificate", "A PEM file"),
        Setting("tls.key_password_env", "Variable with the key's passphrase"),
        Setting(
            "tls.key_password_file", "File with the key's passphrase", "Instead of the variable"
        ),
        Setting(
            "tls.check_hostname",
            "The broker's certificate has to name its host",
            kind=Kind.SWITCH,
            initial=YES,
        ),
    ),
    "tls",
    "Speak TLS with the brokers",
)
_SASL = Group(
    "User name and password",
    (
        Setting(
            "sasl.mechanism",
            "SASL mechanism",
            kind=Kind.CHOICE,
            choices=("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"),
            initial="SCRAM-SHA-512",
        ),
        Setting("sasl.username", "User name", required=True),
        Setting("sasl.password_env", "Variable with the password"),
        Setting("sasl.password_file", "File with the password", "Instead of the variable"),
        Setting(
            "sasl.insecure",
            "Allow PLAIN without TLS",
            "Everybody on the way can read the password then",
            Kind.SWITCH,
        ),
    ),
    "sasl",
    "Sign in with a user name",
)
_KERBEROS = Group(
    "Kerberos",
    (
        Setting("kerberos.principal", "Principal", "Such as cachesvc@EXAMPLE.ORG", required=True),
        Setting("kerberos.keytab_file", "File with its keys", "A keytab", required=True),
        Setting("kerberos.krb5_file", "Configuration of realms", "Empty: the system's"),
        Setting("kerberos.service_name", "Name of the brokers' service", initial="kafka"),
    ),
    "kerberos",
    "Sign in with Kerberos",
)
_TARGET = Group(
    "As a target",
    (
        Setting(
            "target.acks",
            "Written once",
            "How many replicas have it",
            Kind.CHOICE,
            ("majority", "all", "leader", "none"),
            "majority",
        ),
        Setting(
            "target.compression",
            "Compression",
            kind=Kind.CHOICE,
            choices=("none", "gzip", "snappy", "lz4", "zstd"),
            initial="none",
        ),
        Setting(
            "target.ignore_push_errors",
            "Keep a record apart that Kafka refuses, and go on",
            "Else the task ends there",
            Kind.SWITCH,
        ),
    ),
    "target",
    "Say how records are written, where the type is target or both",
)
GROUPS = (_MAIN, _MINING, _TLS, _SASL, _KERBEROS, _TARGET)

EDITOR = SettingsEditor(
    Editable(
        "connection",
        "/connections",
        Connection,
        GROUPS,
        GetConnectionRequest,
        CreateConnectionRequest,
        UpdateConnectionRequest,
        Tests(
            lambda settings: TestConnectionRequest(settings=settings, timeout_s=CONNECTION_TEST_S),
            CONNECTION_TEST_S + 15.0,
            connection_line,
        ),
        "Its readers are restarted; other connections and streams are left alone.",
    )
)
