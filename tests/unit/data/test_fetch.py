"""Fetching: what arrives over a bad line, what an archive may do, what becomes of the photos."""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from binsight.data.fetch import KAGGLE_SETS, FetchResult, fetch
from binsight.data.transfer import Retries, download
from binsight.data.unpack import UnpackLimits, unpack_photos
from binsight.errors import CatalogError, DownloadError, MissingExtraError, UsageError

# Not compressible, so that the archive is long enough to be cut in the middle.
PHOTO = hashlib.shake_256(b"photo").digest(40_000)
PHOTOS = {"glass/1.jpg": PHOTO, "glass/2.JPG": PHOTO[::-1], "metal/1.png": PHOTO[1:]}
SWIFT = Retries(attempts=3, sleep=lambda _seconds: None)


def zip_bytes(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tar_bytes(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def tar_member(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@dataclass
class Site:
    """What the server holds and how it misbehaves; the lists are used up from the left."""

    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"'})
    ranges: bool = True
    if_range: bool = True
    longest_part: int | None = None
    shift: int = 0
    refusals: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    port: int = 0
    asked: list[dict[str, str]] = field(default_factory=list)
    served: list[int] = field(default_factory=list)

    def url(self, path: str = "/set.zip") -> str:
        return f"http://127.0.0.1:{self.port}{path}"


class Handler(BaseHTTPRequestHandler):
    site: Site

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        site = self.site
        site.asked.append(dict(self.headers))
        if self.path == "/moved":
            self.answer(302, {"Location": "/set.zip"}, b"")
        elif self.path == "/gone":
            self.answer(404, {}, b"<h1>gone</h1>")
        elif site.refusals:
            status, headers = site.refusals.pop(0)
            self.answer(status, headers, b"")
        else:
            self.give(site)

    def give(self, site: Site) -> None:
        offset = self.offset(site)
        if offset is None:
            self.answer(200, site.headers, site.body)
        elif offset >= len(site.body):
            self.answer(416, {"Content-Range": f"bytes */{len(site.body)}"}, b"")
        else:
            start = offset + site.shift
            part = site.body[start:][: site.longest_part]
            span = f"bytes {start}-{start + len(part) - 1}/{len(site.body)}"
            self.answer(206, {**site.headers, "Content-Range": span}, part)

    def offset(self, site: Site) -> int | None:
        asked = self.headers.get("Range")
        if asked is None or not site.ranges:
            return None
        if site.if_range and self.headers.get("If-Range") not in site.headers.values():
            return None
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        sent = body
        if status in {200, 206} and self.site.cuts:
            sent = body[: self.site.cuts.pop(0)]
        # Before a header goes out: a client that is content with these asks again at once, and
        # another thread answers.
        self.site.served.append(len(sent))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(sent)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    held = Site(zip_bytes(PHOTOS))
    handler = type("BoundHandler", (Handler,), {"site": held})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        held.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield held
        server.shutdown()
        thread.join()


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# The transfer


def test_an_address_becomes_class_folders_and_nothing_else(site: Site, tmp_path: Path) -> None:
    site.body = zip_bytes({"LICENSE": b"", **PHOTOS, "cover.jpg": PHOTO})
    steps: list[tuple[int, int | None]] = []
    result = fetch(
        site.url(),
        tmp_path / "photos",
        sha256=sha256_of(site.body).upper(),
        progress=lambda done, total: steps.append((done, total)),
    )
    assert result == FetchResult(
        folder=tmp_path / "photos",
        classes={"glass": 2, "metal": 1},
        ignored=2,
        example="cover.jpg",
    )
    assert result.photos == 3
    assert files_below(tmp_path / "photos") == PHOTOS
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    assert steps[-1] == (len(site.body), len(site.body))
    assert steps == sorted(steps)


def test_a_broken_transfer_goes_on_where_it_broke(site: Site, tmp_path: Path) -> None:
    site.cuts = [50_000, 20_000]
    fetch(site.url(), tmp_path / "photos", retries=SWIFT)
    assert [asked.get("Range") for asked in site.asked] == [None, "bytes=50000-", "bytes=70000-"]
    assert [asked.get("If-Range") for asked in site.asked] == [None, '"one"', '"one"']
    assert sum(site.served) == len(site.body)
    assert files_below(tmp_path / "photos") == PHOTOS


def test_the_next_call_resumes_what_an_interrupt_left(site: Site, tmp_path: Path) -> None:
    out = tmp_path / "photos"
    kept = 0

    def interrupt(done: int, _total: int | None) -> None:
        nonlocal kept
        kept = done
        if done > 60_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(site.url(), out, progress=interrupt)
    assert not out.exists()
    fetch(site.url(), out)
    assert 60_000 < kept < len(site.body)
    assert site.asked[-1]["Range"] == f"bytes={kept}-"
    assert site.served[-1] == len(site.body) - kept
    assert files_below(out) == PHOTOS


def test_a_given_up_transfer_is_kept_for_the_next_call(site: Site, tmp_path: Path) -> None:
    site.cuts = [1_000, 0, 0, 0]
    with pytest.raises(DownloadError, match=r"3 tries; .*it resumes"):
        fetch(site.url(), tmp_path / "photos", retries=SWIFT)
    site.cuts = []
    fetch(site.url(), tmp_path / "photos")
    assert site.asked[-1]["Range"] == "bytes=1000-"


def test_new_bytes_renew_the_patience(site: Site, tmp_path: Path) -> None:
    site.cuts = [10_000] * 8
    fetch(site.url(), tmp_path / "photos", retries=SWIFT)
    assert sum(site.served) == len(site.body)


def test_bytes_of_another_address_are_not_continued(site: Site, tmp_path: Path) -> None:
    site.cuts = [1_000, 0, 0]
    with pytest.raises(DownloadError):
        fetch(site.url("/other.zip"), tmp_path / "photos", retries=SWIFT)
    site.cuts = []
    with pytest.raises(DownloadError, match="404"):
        fetch(site.url("/gone"), tmp_path / "photos")
    assert "Range" not in site.asked[-1]
    assert list(tmp_path.iterdir()) == []


def test_an_address_takes_over_from_another(site: Site, tmp_path: Path) -> None:
    site.cuts = [1_000, 0, 0]
    with pytest.raises(DownloadError):
        fetch(site.url("/other.zip"), tmp_path / "photos", retries=SWIFT)
    site.cuts = []
    fetch(site.url(), tmp_path / "photos")
    assert "Range" not in site.asked[-1]
    assert files_below(tmp_path / "photos") == PHOTOS


@pytest.mark.parametrize("ranges", [True, False], ids=["unnamed version", "no ranges"])
def test_what_cannot_be_resumed_starts_anew(site: Site, tmp_path: Path, ranges: bool) -> None:
    site.ranges = ranges
    site.headers = {"ETag": 'W/"weak"'} if ranges else {"ETag": '"one"'}
    site.cuts = [50_000]
    fetch(site.url(), tmp_path / "photos", retries=SWIFT)
    assert ("Range" in site.asked[1]) is not ranges
    assert site.served == [50_000, len(site.body)]
    assert files_below(tmp_path / "photos") == PHOTOS


def test_a_date_serves_where_there_is_no_etag(site: Site, tmp_path: Path) -> None:
    site.headers = {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
    site.cuts = [50_000]
    fetch(site.url(), tmp_path / "photos", retries=SWIFT)
    assert site.asked[1]["If-Range"] == "Wed, 21 Oct 2015 07:28:00 GMT"
    assert sum(site.served) == len(site.body)


@pytest.mark.parametrize("if_range", [True, False], ids=["heeds If-Range", "ignores If-Range"])
def test_two_versions_are_never_joined(site: Site, tmp_path: Path, if_range: bool) -> None:
    newer = zip_bytes({name: data[::-1] for name, data in PHOTOS.items()})
    assert len(newer) == len(site.body)
    site.if_range = if_range
    site.cuts = [50_000]

    def swap(_seconds: float) -> None:
        site.body, site.headers = newer, {"ETag": '"two"'}

    retries = Retries(attempts=3, sleep=swap)
    fetch(site.url(), tmp_path / "photos", sha256=sha256_of(newer), retries=retries)
    assert site.asked[1]["If-Range"] == '"one"'
    assert site.served[-1] == len(newer)


def test_a_shrunken_file_starts_anew(site: Site, tmp_path: Path) -> None:
    smaller = zip_bytes({"a/1.jpg": b"1", "b/1.jpg": b"2"})
    site.if_range = False
    site.cuts = [50_000]

    def swap(_seconds: float) -> None:
        site.body = smaller

    fetch(site.url(), tmp_path / "photos", retries=Retries(sleep=swap))
    assert len(site.asked) == 3
    assert files_below(tmp_path / "photos") == {"a/1.jpg": b"1", "b/1.jpg": b"2"}


@pytest.mark.parametrize("length", [30_000, 60_000], ids=["shorter", "longer"])
def test_another_size_is_another_version(site: Site, tmp_path: Path, length: int) -> None:
    photos = {**PHOTOS, "glass/1.jpg": (PHOTO * 2)[:length]}
    other = zip_bytes(photos)
    site.if_range = False
    site.cuts = [50_000]

    def swap(_seconds: float) -> None:
        site.body, site.headers = other, {}

    fetch(site.url(), tmp_path / "photos", retries=Retries(sleep=swap))
    assert site.served[-1] == len(other)
    assert files_below(tmp_path / "photos") == photos


def test_a_part_that_starts_elsewhere_is_not_joined(site: Site, tmp_path: Path) -> None:
    site.shift = 10
    site.cuts = [50_000]
    fetch(site.url(), tmp_path / "photos", sha256=sha256_of(site.body), retries=SWIFT)
    assert site.served[-1] == len(site.body)


def test_a_server_may_send_less_than_was_asked_for(site: Site, tmp_path: Path) -> None:
    site.longest_part = 20_000
    site.cuts = [50_000]
    fetch(site.url(), tmp_path / "photos", retries=SWIFT)
    assert site.served[:3] == [50_000, 20_000, 20_000]
    assert sum(site.served) == len(site.body)


def test_what_can_never_be_resumed_is_not_kept(site: Site, tmp_path: Path) -> None:
    site.headers = {}
    site.cuts = [1_000] * 4
    with pytest.raises(DownloadError, match=r"same command again$"):
        fetch(site.url(), tmp_path / "photos", retries=SWIFT)
    assert list(tmp_path.iterdir()) == []


def test_a_whole_file_is_not_sent_twice(site: Site, tmp_path: Path) -> None:
    first = download(site.url(), tmp_path)
    again = download(site.url(), tmp_path, sha256=sha256_of(site.body))
    assert again.read_bytes() == first.read_bytes() == site.body
    assert site.served == [len(site.body), 0]


def test_passing_errors_are_waited_out_longer_each_time(site: Site, tmp_path: Path) -> None:
    pauses: list[float] = []
    site.refusals = [(503, {}), (500, {}), (429, {"Retry-After": "7"})]
    retries = Retries(attempts=4, pause_s=0.5, sleep=pauses.append)
    fetch(site.url(), tmp_path / "photos", retries=retries)
    assert pauses == [0.5, 1.0, 7.0]


def test_redirects_are_followed(site: Site, tmp_path: Path) -> None:
    assert fetch(site.url("/moved"), tmp_path / "photos").photos == 3


def test_a_missing_page_is_not_asked_for_again(site: Site, tmp_path: Path) -> None:
    url = site.url("/gone").replace("//", "//me:word@")
    with pytest.raises(DownloadError, match="404 Not Found; check the address") as caught:
        fetch(url, tmp_path / "photos", retries=SWIFT)
    assert len(site.asked) == 1
    assert "word" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_no_server_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(DownloadError) as caught:
        fetch("http://127.0.0.1:9/set.zip?key=secret", tmp_path / "photos", retries=SWIFT)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_another_checksum_leaves_nothing(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        fetch(site.url(), tmp_path / "photos", sha256="0" * 64)
    assert sha256_of(site.body) in str(caught.value)
    assert "0" * 64 in str(caught.value)
    assert list(tmp_path.iterdir()) == []


# What is refused before anything is asked for


@pytest.mark.parametrize(
    "source", ["file:///etc/passwd", "ftp://host/set.zip", "photos.zip", "https://", "http://[", ""]
)
def test_other_sources_are_refused(source: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="trashnet"):
        fetch(source, tmp_path / "photos")


def test_a_malformed_checksum_is_refused(site: Site, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="64 hexadecimal"):
        fetch(site.url(), tmp_path / "photos", sha256="abc")
    with pytest.raises(UsageError, match="no checksum"):
        fetch("trashnet", tmp_path / "photos", sha256="0" * 64)
    assert site.asked == []


def test_a_folder_in_the_way_is_left_alone(site: Site, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(UsageError, match="not empty"):
        fetch(site.url(), tmp_path)
    with pytest.raises(UsageError, match="is a file"):
        fetch(site.url(), tmp_path / "mine")
    assert site.asked == []
    assert files_below(tmp_path) == {"mine": b"keep"}


def test_the_working_folder_cannot_be_replaced(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="inside it"):
        fetch(site.url(), Path())
    assert site.asked == []


def test_an_empty_folder_is_filled(site: Site, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    assert fetch(site.url(), tmp_path / "photos").photos == 3


def test_a_missing_package_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    for source in ("https://host.invalid/set.zip", "trashnet"):
        with pytest.raises(MissingExtraError, match=r"\.\[data\]"):
            fetch(source, tmp_path / "photos")
    assert list(tmp_path.iterdir()) == []


# What an archive may do


def test_tar_is_read_too(site: Site, tmp_path: Path) -> None:
    site.body = tar_bytes(*(tar_member(f"./set/{name}", data) for name, data in PHOTOS.items()))
    assert fetch(site.url(), tmp_path / "photos").classes == {"glass": 2, "metal": 1}
    assert files_below(tmp_path / "photos") == PHOTOS


def test_a_tar_that_ends_in_a_zip_is_a_tar(site: Site, tmp_path: Path) -> None:
    members = [tar_member(name, data) for name, data in PHOTOS.items()]
    inner = tar_member("inner.zip", zip_bytes({"a/1.jpg": b"1", "b/1.jpg": b"2"}))
    site.body = tar_bytes(*members, inner, mode="w")
    result = fetch(site.url(), tmp_path / "photos")
    assert (result.classes, result.ignored) == ({"glass": 2, "metal": 1}, 1)


def zip_with(name: str, data: bytes = b"evil", mode: int = 0) -> bytes:
    buffer = io.BytesIO(zip_bytes(PHOTOS))
    with zipfile.ZipFile(buffer, "a") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, data)
    return buffer.getvalue()


HOSTILE = {
    "zip climbs": zip_with("../../evil.jpg"),
    "zip climbs inside": zip_with("glass/../../../evil.jpg"),
    "zip climbs, windows": zip_with("..\\..\\evil.jpg"),
    "zip absolute": zip_with("/tmp/evil.jpg"),
    "zip drive": zip_with("C:\\evil.jpg"),
    "zip link": zip_with("glass/evil.jpg", b"/etc/passwd", stat.S_IFLNK | 0o777),
    "zip device": zip_with("glass/evil.jpg", b"", stat.S_IFCHR | 0o666),
    "tar climbs": tar_bytes(tar_member("../../evil.jpg", b"evil")),
    "tar absolute": tar_bytes(tar_member("/tmp/evil.jpg", b"evil")),
    "tar link": tar_bytes(
        tar_member("glass", type=tarfile.SYMTYPE, linkname="../.."),
        tar_member("glass/evil.jpg", b"evil"),
    ),
    "tar hard link": tar_bytes(
        tar_member("glass/evil.jpg", type=tarfile.LNKTYPE, linkname="/etc/passwd")
    ),
    "tar device": tar_bytes(tar_member("glass/evil.jpg", type=tarfile.CHRTYPE)),
    "tar pipe": tar_bytes(tar_member("glass/evil.jpg", type=tarfile.FIFOTYPE)),
    "tar twice": tar_bytes(tar_member("a/evil.jpg", b"1"), tar_member("a/evil.jpg", b"2")),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_whole(site: Site, tmp_path: Path, name: str) -> None:
    site.body = HOSTILE[name]
    out = tmp_path / "deep" / "down" / "photos"
    with pytest.raises(DownloadError, match=r"evil\.jpg.*refused|'glass'.*refused"):
        fetch(site.url(), out)
    assert files_below(tmp_path) == {}
    assert not out.exists()
    assert not Path("/tmp/evil.jpg").exists()


def test_a_negative_size_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("glass/1.jpg")
    info.size = -512
    archive = tmp_path / "set.tar"
    archive.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2 * 512))
    with pytest.raises(DownloadError, match="negative size"):
        unpack_photos(archive, tmp_path / "unpacked")


def test_an_endless_tail_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "set.tar.gz"
    whole = tar_bytes(tar_member("glass/1.jpg", PHOTO), mode="w")
    with gzip.open(archive, "wb", compresslevel=1) as file:
        file.write(whole)
        for _ in range(65):
            file.write(bytes(1 << 20))
    with pytest.raises(DownloadError, match="goes on"):
        unpack_photos(archive, tmp_path / "unpacked")


@pytest.mark.parametrize("limits", [UnpackLimits(max_bytes=100_000), UnpackLimits(max_files=2)])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_the_limits_hold(site: Site, tmp_path: Path, limits: UnpackLimits, kind: str) -> None:
    if kind == "tar":
        site.body = tar_bytes(*(tar_member(name, data) for name, data in PHOTOS.items()))
    with pytest.raises(DownloadError, match="refused"):
        fetch(site.url(), tmp_path / "photos", limits=limits)
    assert list(tmp_path.iterdir()) == []


def test_a_zip_that_understates_its_size_is_not_believed(tmp_path: Path) -> None:
    whole = bytearray(zip_bytes({"glass/1.jpg": bytes(50_000)}))
    at = whole.rindex(b"PK\x01\x02") + 24  # the uncompressed size in the central directory
    whole[at : at + 4] = (10).to_bytes(4, "little")
    archive = tmp_path / "set.zip"
    archive.write_bytes(whole)
    with pytest.raises(DownloadError, match="broken"):
        unpack_photos(archive, tmp_path / "unpacked", limits=UnpackLimits(max_bytes=1_000))
    assert sum(path.stat().st_size for path in (tmp_path / "unpacked").rglob("*.jpg")) <= 10


@pytest.mark.parametrize("body", [b"", b"<html>Sign in</html>"], ids=["empty", "page"])
def test_a_page_is_not_an_archive(site: Site, tmp_path: Path, body: bytes) -> None:
    site.body = body
    with pytest.raises(DownloadError, match=r"not a \.zip or \.tar archive"):
        fetch(site.url(), tmp_path / "photos")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_damaged_archive_is_one_line(site: Site, tmp_path: Path, kind: str) -> None:
    if kind == "tar":
        site.body = tar_bytes(*(tar_member(name, data) for name, data in PHOTOS.items()))
    middle = len(site.body) // 2
    site.body = site.body[:middle] + bytes(200) + site.body[middle + 200 :]
    with pytest.raises(DownloadError, match="archive is broken") as caught:
        fetch(site.url(), tmp_path / "photos")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", [["1.jpg", "2.jpg"], ["only/1.jpg"], ["a/notes.txt", "b/c.txt"]])
def test_no_class_folders(site: Site, tmp_path: Path, names: list[str]) -> None:
    site.body = zip_bytes(dict.fromkeys(names, PHOTO))
    with pytest.raises(CatalogError, match="no class folders") as caught:
        fetch(site.url(), tmp_path / "photos")
    kept = tmp_path / ".photos.partial" / "download"
    assert str(caught.value).endswith(f"the archive is kept: {kept}")
    assert kept.read_bytes() == site.body
    with pytest.raises(CatalogError, match="no class folders"):
        fetch(site.url(), tmp_path / "photos")
    assert site.served == [len(site.body), 0]


def test_two_sets_of_classes_are_not_guessed_between(site: Site, tmp_path: Path) -> None:
    names = [f"{part}/{name}" for part in ("train", "val") for name in PHOTOS]
    site.body = zip_bytes(dict.fromkeys(names, PHOTO))
    with pytest.raises(CatalogError, match="'train', 'val'"):
        fetch(site.url(), tmp_path / "photos")


def test_the_shadow_files_of_macos_are_not_photos(site: Site, tmp_path: Path) -> None:
    shadows = {f"__MACOSX/set/{folder}/._1.jpg": b"shadow" for folder in ("glass", "metal")}
    hidden = {"set/glass/._2.jpg": b"shadow"}
    real = {f"set/{name}": data for name, data in PHOTOS.items()}
    site.body = zip_bytes({**real, **shadows, **hidden})
    assert fetch(site.url(), tmp_path / "photos").ignored == 3
    assert files_below(tmp_path / "photos") == PHOTOS


# Kaggle


@pytest.fixture
def kaggle_cache(tmp_path: Path) -> Path:
    """A download as kagglehub leaves it: nested twice, with lists of the files beside it."""
    cache = tmp_path / "cache" / "versions" / "2"
    for name, data in PHOTOS.items():
        photo = cache / "Garbage classification" / "Garbage classification" / name
        photo.parent.mkdir(parents=True, exist_ok=True)
        photo.write_bytes(data)
    (cache / "one-indexed-files.txt").write_text("glass1.jpg 1")
    (cache / "zero-indexed-files.txt").write_text("glass1.jpg 0")
    return cache


def test_trashnet_is_copied_out_of_kaggles_cache(
    kaggle_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kagglehub = pytest.importorskip("kagglehub")
    asked = []
    monkeypatch.setattr(
        kagglehub, "dataset_download", lambda handle: asked.append(handle) or str(kaggle_cache)
    )
    before = files_below(kaggle_cache)
    result = fetch("trashnet", tmp_path / "photos")
    assert asked == [KAGGLE_SETS["trashnet"]] == ["asdasdasasdas/garbage-classification"]
    assert (result.classes, result.ignored) == ({"glass": 2, "metal": 1}, 2)
    assert files_below(tmp_path / "photos") == PHOTOS
    assert files_below(kaggle_cache) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "photos"]


def test_what_kagglehub_prints_stays_off_stdout(
    kaggle_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kagglehub = pytest.importorskip("kagglehub")

    def chatty(_handle: str) -> str:
        print("Warning: Looks like you're using an outdated version")
        return str(kaggle_cache)

    monkeypatch.setattr(kagglehub, "dataset_download", chatty)
    fetch("trashnet", tmp_path / "photos")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("failure", "reason"),
    [("refused", "HTTP 403"), ("offline", "ConnectionError"), ("file", "ValueError: Invalid")],
)
def test_kaggles_refusal_says_what_to_do(
    failure: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kagglehub = pytest.importorskip("kagglehub")
    requests = pytest.importorskip("requests")
    exceptions = pytest.importorskip("kagglehub.exceptions")
    response = requests.Response()
    response.status_code = 403
    errors = {
        "refused": exceptions.KaggleApiHTTPError("403 Client Error.\n\nYou", response=response),
        "offline": requests.ConnectionError("Max retries exceeded\n" + "x" * 500),
        "file": ValueError("Invalid Kaggle credentials file at /home/me/.kaggle/kaggle.json"),
    }

    def fail(_handle: str) -> str:
        raise errors[failure]

    monkeypatch.setattr(kagglehub, "dataset_download", fail)
    with pytest.raises(DownloadError, match="KAGGLE_API_TOKEN") as caught:
        fetch("trashnet", tmp_path / "photos")
    message = str(caught.value)
    assert reason in message
    assert "kaggle.com/datasets/asdasdasasdas/garbage-classification" in message
    assert "\n" not in message
    assert len(message) < 450
    assert list(tmp_path.iterdir()) == []
