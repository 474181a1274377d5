"""What the service tells a reader about its connection."""

import msgspec

from cachesvc.mining.encode import ROWS_MAX
from cachesvc.mining.record_sizes import RECORD_BYTES_MAX
from cachesvc.mining.tracing import TraceSettings
from cachesvc.model import NonJsonPolicy
from cachesvc.settings.connection import KerberosConfig, SaslConfig, TlsConfig


class ConnectionSettings(msgspec.Struct, frozen=True):
    """What the service tells a reader about its connection; unknown fields are for newer readers.

    Attributes:
        name: Of the connection.
        bootstrap_servers: HOST:PORT each.
        tls: Speak TLS, and how.
        sasl: User name, and where the password is found.
        kerberos: Principal, and where its keys are found.
        non_json_policy: What becomes of records that are not JSON objects.
        append_window_bytes_max: Bytes of appends that may be unacknowledged.
        batch_records_max: Records in one append.
        backfill_share: Of the time in which newer records are mined, what older ones may take.
        record_bytes_max: A larger record is turned away.
        traces: Which appends are traced; None: none.
    """

    name: str
    bootstrap_servers: tuple[str, ...]
    tls: TlsConfig | None = None
    sasl: SaslConfig | None = None
    kerberos: KerberosConfig | None = None
    non_json_policy: NonJsonPolicy = NonJsonPolicy.REJECT
    append_window_bytes_max: int = 32 << 20
    batch_records_max: int = ROWS_MAX
    backfill_share: float = 0.25
    record_bytes_max: int = RECORD_BYTES_MAX
    traces: TraceSettings | None = None
