"""A form for stores: the settings of ``[[stores]]`` in the file."""

from cachesvc.v1.stores_pb2 import (
    CreateStoreRequest,
    GetStoreRequest,
    Store,
    TestStoreRequest,
    UpdateStoreRequest,
)
from cachesvc.web.pages.checks import STORE_TEST_S, store_line
from cachesvc.web.settings_editor import Editable, SettingsEditor, Tests
from cachesvc.web.settings_form import Group, Kind, Setting

_MAIN = Group(
    "Store",
    (
        Setting("name", "Name", "1 to 64 of A-Z, a-z, 0-9, _ and -; it stays", required=True),
        Setting("kind", "Kind", kind=Kind.CHOICE, choices=("directory", "s3"), initial="directory"),
        Setting(
            "default",
            "Takes what is mined of connections that name no store",
            "One store does; without any, local does",
            Kind.SWITCH,
        ),
        Setting(
            "bytes_max",
            "Budget",
            "What the service keeps there at most, such as 500 GiB; empty: no budget",
            Kind.SIZE,
        ),
    ),
)
_DIRECTORY = Group(
    "Directory",
    (
        Setting(
            "path",
            "Path",
            "Absolute, on the service's machine; made if missing",
            required=True,
        ),
    ),
    when=("kind", "directory"),
)
_S3 = Group(
    "S3",
    (
        Setting("bucket", "Bucket", required=True),
        Setting("prefix", "Prefix", "What all names in the bucket begin with; may be empty"),
        Setting("endpoint", "Service", "Its URL; empty: Amazon's"),
        Setting("region", "Region", initial="us-east-1"),
        Setting(
            "access_key_env",
            "Variable with the access key",
            "Without credentials: the machine's own role",
        ),
        Setting("access_key_file", "File with the access key", "Instead of the variable"),
        Setting("secret_key_env", "Variable with the secret key"),
        Setting("secret_key_file", "File with the secret key", "Instead of the variable"),
        Setting("session_token_env", "Variable with the session token"),
        Setting("session_token_file", "File with the session token", "Instead of the variable"),
        Setting(
            "insecure",
            "Allow http:// beyond loopback",
            "Records travel as plain text then",
            Kind.SWITCH,
        ),
        Setting(
            "request_timeout_s", "Seconds that a request may take", kind=Kind.NUMBER, initial="30"
        ),
        Setting("retry_s", "Seconds for which one is repeated", kind=Kind.NUMBER, initial="20"),
        Setting(
            "cache_bytes_max",
            "Cache on the service's disk",
            "Of what was read; 0: none",
            Kind.SIZE,
            initial="8 GiB",
        ),
    ),
    when=("kind", "s3"),
)
GROUPS = (_MAIN, _DIRECTORY, _S3)


def others_than(kind: str) -> set[str]:
    """The settings that a store of that kind has no use for."""
    groups = [each for each in GROUPS if each.when is not None and each.when[1] != kind]
    return {setting.path for group in groups for setting in group.settings}


EDITOR = SettingsEditor(
    Editable(
        "store",
        "/stores",
        Store,
        GROUPS,
        GetStoreRequest,
        CreateStoreRequest,
        UpdateStoreRequest,
        Tests(lambda settings: TestStoreRequest(settings=settings), STORE_TEST_S, store_line),
        "What lies there stays where it is.",
    )
)
