"""What a browser sends, read with bounds."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request

FORM_BYTES_MAX = 256 << 10
_FIELDS_MAX = 200
_FORM = "application/x-www-form-urlencoded"


class FormRefused(Exception):
    """What was sent is no form, or too large."""


async def read_form(request: Request) -> Mapping[str, str]:
    """The fields of a form; of several of one name the last one counts.

    Raises:
        FormRefused: It is none, or too large.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise FormRefused("this is no form")
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > FORM_BYTES_MAX:
            raise FormRefused(f"the form has more than {FORM_BYTES_MAX:,} bytes")
    try:
        fields = parse_qsl(
            data.decode(), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX
        )
    except ValueError as error:  # of UTF-8 as well
        raise FormRefused("the form cannot be read") from error
    return dict(fields)


def is_part(request: Request) -> bool:
    """Whether a part of a page that is shown is loaded anew."""
    return "hx-request" in request.headers


def local_path(path: str) -> str:
    """A path of this page to go to, whatever a form says; ``/`` where it leads elsewhere."""
    leads_elsewhere = path.startswith(("//", "/\\")) or not path.startswith("/")
    return "/" if leads_elsewhere or not path.isprintable() else path
