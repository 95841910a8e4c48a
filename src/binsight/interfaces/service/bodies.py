"""Read what a client sends within limits, counted while it arrives and kept in memory only.

It knows two forms: a form with files (``multipart/form-data``), and one photo as it is. It does not
look into photos.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from .places import BodyRoom
from .problems import RefusedError
from .settings import Settings

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

__all__ = ["FORM", "RAW", "Body", "Sent", "read_body"]

PHOTO_FIELDS = frozenset({"photo", "photos"})
LONGEST_FIELD = 1000  # bytes of a field that is no photo
LONGEST_NAME = 255  # letters of a file name that is given back
FORM = "multipart/form-data"
RAW = "application/octet-stream"


@dataclass
class Sent:
    """One photo as it came.

    Args:
        name: of the file, as the client calls it; empty if it does not.
        data: its bytes.
        too_large: whether there were more than are allowed; then ``data`` is empty.
    """

    name: str
    data: bytes = b""
    too_large: bool = False


@dataclass
class Body:
    """What a request holds.

    Args:
        photos: in the order in which they came.
        fields: text by field name.
    """

    photos: list[Sent] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)


async def read_body(
    request: Request,
    settings: Settings,
    room: BodyRoom,
    *,
    max_photos: int,
    fields: Collection[str] = (),
) -> Body:
    """Read a body.

    Args:
        request: whose body nobody has read yet.
        settings: with the limits.
        room: which the body takes, and has until it is given back.
        max_photos: that it may hold.
        fields: names of text fields that a form may have.

    Raises:
        RefusedError: 400 broken form; 408 too slow; 413 too much; 415 another form; 422 no photo,
            or a field that is not known; 503 no room.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    media_type = kind.decode("latin-1").lower()
    _check_headers(request, media_type, settings)
    chunks = _counted(request, settings.max_request_bytes, room)
    try:
        async with asyncio.timeout(settings.body_seconds):
            if media_type == FORM:
                form = _Form(settings.limits.max_bytes, max_photos, fields)
                body = await form.read(chunks, options.get(b"boundary", b""))
            else:
                body = Body([await _raw(chunks, settings.limits.max_bytes)])
    except TimeoutError as error:
        raise RefusedError(
            408, f"the body did not arrive within {settings.body_seconds:g} s"
        ) from error
    if not body.photos:
        raise RefusedError(422, "no photo; send files in the field photos")
    return body


def _check_headers(request: Request, media_type: str, settings: Settings) -> None:
    """Refuse what can be refused before a byte of the body is read."""
    if media_type not in {FORM, RAW} and not media_type.startswith("image/"):
        raise RefusedError(
            415,
            f"{media_type or 'no content type'}; send {FORM}, or one photo as image/jpeg, any "
            f"other image type or {RAW}",
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedError(415, "send the body without a Content-Encoding")
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) > settings.max_request_bytes:
        raise _too_much(settings.max_request_bytes)


async def _counted(request: Request, max_bytes: int, room: BodyRoom) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        if room.bytes + len(chunk) > max_bytes:
            raise _too_much(max_bytes)
        room.take(len(chunk))
        yield chunk


def _too_much(max_bytes: int) -> RefusedError:
    return RefusedError(413, f"more than {max_bytes:,} bytes in one request; send fewer photos")


async def _raw(chunks: AsyncIterator[bytes], max_bytes: int) -> Sent:
    photo = _Part()
    async for chunk in chunks:
        photo.add(chunk, max_bytes)
    return Sent("", bytes(photo.data), photo.too_large)


class _Part:
    """A part of a form while it arrives."""

    def __init__(self) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.name = self.file_name = ""
        self.data = bytearray()
        self.too_large = False

    def add(self, data: bytes, max_bytes: int) -> None:
        """Keep data, unless there is too much of it; then keep none."""
        if self.too_large or len(self.data) + len(data) > max_bytes:
            self.too_large = True
            self.data.clear()
            return
        self.data += data


class _Form:
    """Takes a form apart while it arrives; what the parser finds, it tells by calling back."""

    def __init__(self, max_bytes: int, max_photos: int, fields: Collection[str]) -> None:
        self._max_bytes, self._max_photos, self._fields = max_bytes, max_photos, fields
        self._body = Body()
        self._part = _Part()
        self._header, self._value = bytearray(), bytearray()
        self._ended = False

    async def read(self, chunks: AsyncIterator[bytes], boundary: bytes) -> Body:
        if not boundary:
            raise RefusedError(400, "the form's Content-Type names no boundary")
        try:
            parser = MultipartParser(boundary, self._callbacks())
            async for chunk in chunks:
                parser.write(chunk)
        except FormParserError as error:
            raise RefusedError(400, f"not a form as its Content-Type says ({error})") from error
        if not self._ended:
            raise RefusedError(400, "the form ends too early")
        return self._body

    def _callbacks(self) -> MultipartCallbacks:
        found: dict[str, Callable[..., Any]] = {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_end,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._all_read,
        }
        return found  # type: ignore[return-value]

    def _begin(self) -> None:
        self._part = _Part()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._part.headers[bytes(self._header).lower()] = bytes(self._value)
        self._header, self._value = bytearray(), bytearray()

    def _headers_end(self) -> None:
        disposition = self._part.headers.get(b"content-disposition", b"")
        _, options = parse_options_header(disposition)
        self._part.name = options.get(b"name", b"").decode("utf-8", "replace")
        file_name = options.get(b"filename", b"").decode("utf-8", "replace")
        self._part.file_name = file_name[:LONGEST_NAME]
        self._check_name()

    def _check_name(self) -> None:
        name = self._part.name
        if name in PHOTO_FIELDS:
            if len(self._body.photos) == self._max_photos:
                raise RefusedError(
                    413, f"more than {self._max_photos} photos in one request; send fewer"
                )
        elif name not in self._fields:
            known = ", ".join(["photos", *sorted(self._fields)])
            raise RefusedError(422, f"unknown field {name[:LONGEST_NAME]!r}; there are: {known}")
        elif name in self._body.fields:
            raise RefusedError(422, f"the field {name!r} is there twice")

    def _data(self, data: bytes, start: int, end: int) -> None:
        is_photo = self._part.name in PHOTO_FIELDS
        self._part.add(data[start:end], self._max_bytes if is_photo else LONGEST_FIELD)

    def _end(self) -> None:
        part = self._part
        if part.name in PHOTO_FIELDS:
            self._body.photos.append(Sent(part.file_name, bytes(part.data), part.too_large))
        elif part.too_large:
            raise RefusedError(413, f"the field {part.name!r} is too long")
        else:
            self._body.fields[part.name] = _text(part)

    def _all_read(self) -> None:
        self._ended = True


def _text(part: _Part) -> str:
    try:
        return part.data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(422, f"the field {part.name!r} is not text in UTF-8") from error
