"""One login by Kerberos, in a process of its own: PRINCIPAL KEYTAB TARGET are its arguments.

The Kerberos library takes its configuration from an environment variable, which a process has once,
keeps tickets for as long as a process lives, and blocks while it asks a KDC. A process for each
login has its own configuration, forgets its tickets when it ends, and can be killed.

It speaks JSON, one object a line: ``{"token", "last"}`` goes to the broker, whose answer comes as
``{"token"}``; ``{"error", "code"}`` ends it. Tokens are base64. ``code`` is the Kerberos library's
own, 0 where it has none. Nothing of cachesvc is imported, so that it starts fast.
"""

import base64
import json
import sys

try:
    import gssapi
except ImportError as error:
    gssapi = None
    _why_not = str(error)

# SASL's last word (RFC 4752): no security layer, so no size of messages within one, and no
# identity other than the principal's own.
_NO_LAYER = b"\x01\x00\x00\x00"


def main(principal: str, keytab: str, target: str) -> None:
    """Logs ``principal`` in to ``target``, such as ``kafka@broker.example.org``."""
    if gssapi is None:
        _say({"error": f"the package gssapi cannot be imported: {_why_not}", "code": None})
        return
    try:
        _log_in(principal, keytab, target)
    except gssapi.exceptions.GSSError as error:
        code = error.min_code - (1 << 32 if error.min_code >> 31 else 0)
        _say({"error": " ".join(error.gen_message().split()), "code": code})


def _log_in(principal: str, keytab: str, target: str) -> None:
    kerberos = gssapi.MechType.kerberos
    credentials = gssapi.Credentials(
        name=gssapi.Name(principal, gssapi.NameType.kerberos_principal),
        usage="initiate",
        mechs=[kerberos],
        store={"client_keytab": f"FILE:{keytab}", "ccache": "MEMORY:login"},
    )
    service = gssapi.Name(target, gssapi.NameType.hostbased_service)
    context = gssapi.SecurityContext(name=service, creds=credentials, mech=kerberos)
    token = None
    while not context.complete:
        token = _ask(context.step(token) or b"")
    context.unwrap(token)  # what the broker offers; all that is wanted is that it means it
    _say_token(context.wrap(_NO_LAYER, False).message, last=True)


def _ask(token: bytes) -> bytes:
    _say_token(token, last=False)
    return base64.b64decode(json.loads(sys.stdin.readline())["token"])


def _say_token(token: bytes, *, last: bool) -> None:
    _say({"token": base64.b64encode(token).decode(), "last": last})


def _say(message: dict[str, object]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
