# SPDX-License-Identifier: Apache-2.0
"""The one door to bytes: files, members of archives, addresses of the network; no secret is told."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from odc.geo.geobox import GeoBox

from terrapatch.access import Access, address, file_of, read_bytes, shown, split_address
from terrapatch.errors import SceneError, SourceError
from terrapatch.rasters import read_bands, read_header, write_geotiff

SECRET = "sig=aB%2Fc&sv=2020"


SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, query = self.path.partition("?")
        file = Path(sys.argv[1], path.lstrip("/"))
        if query != sys.argv[2] or not file.is_file():
            self.send_error(404)
            return
        data = file.read_bytes()
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last or len(data) - 1) + 1]
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(part)

    do_HEAD = do_GET

served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(served.server_port, flush=True)
served.serve_forever()
"""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder behind web addresses that are good with a signature alone; gives its root.

    In a process of its own: GDAL keeps Python's lock while it opens a file.
    """
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "20")
    command = [sys.executable, "-c", SERVER, str(tmp_path), SECRET]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.terminate()


@pytest.fixture
def image(tmp_path):
    pixels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    box = GeoBox.from_bbox((500_000, 0, 500_640, 640), "EPSG:32631", resolution=10)
    write_geotiff(tmp_path / "a.tif", pixels, box)
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.write(tmp_path / "a.tif", "in/a.tif")
    return pixels


def test_pixels_and_bytes_come_from_files_archives_and_the_network(tmp_path, image, server):
    remote = f"{server}/a.tif?{SECRET}"
    packed = address(str(tmp_path / "packed.zip"), "in/a.tif")
    for href in (str(tmp_path / "a.tif"), packed, remote):
        assert np.array_equal(read_bands(href)[0], image)
        assert read_bytes(href) == (tmp_path / "a.tif").read_bytes()
    assert read_header(address(f"{server}/packed.zip?{SECRET}", "in/a.tif")).shape == (64, 64)


def test_what_cannot_be_read_is_told_without_what_may_be_secret(tmp_path, image, server):
    for read in (read_header, read_bands, read_bytes):
        with pytest.raises((SceneError, SourceError), match=r"/none\.tif") as error:
            read(f"{server}/none.tif?{SECRET}")
        assert "sig=" not in str(error.value)
        assert f"{server}/none.tif" in str(error.value)
    with pytest.raises(SourceError, match="begin with ftp:// are not read") as error:
        read_header("ftp://me:word@host/a.tif")
    assert "word" not in str(error.value)
    with pytest.raises(SourceError, match=r"^s3://bucket/a\.xml: is not on this machine"):
        read_bytes("s3://bucket/a.xml?token=x")


@pytest.mark.parametrize(("text", "plain"), [
    ("https://me:word@host/a/b.tif?sig=x%2F&y=1", "https://host/a/b.tif"),
    ("told (https://h/a.tif?sig=x) and s3://b/c?k, twice", "told (https://h/a.tif) and s3://b/c twice"),
    ("/vsizip/{/vsicurl/https://h/a.zip?sig=x}/in.tif", "/vsizip/{/vsicurl/https://h/a.zip}/in.tif"),
    ("/data/is it so? yes@home.tif", "/data/is it so? yes@home.tif"),
])  # fmt: skip
def test_addresses_are_told_without_query_and_user(text, plain):
    assert shown(text) == plain


def test_where_bytes_lie_is_a_value_and_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inside = Access(str(tmp_path / "a.zip"), "x/b.tif")
    assert inside.href == "/vsizip/a.zip/x/b.tif"
    assert file_of(inside.href) == Path("a.zip")
    assert Access(str(tmp_path / "q.SAFE"), "b.tif").href == "/vsizip/{q.SAFE}/b.tif"
    assert split_address("/vsizip/{q.SAFE}/b.tif") == Access("q.SAFE", "b.tif")
    assert Access("/elsewhere/a.tif").href == "/elsewhere/a.tif"
    signed = Access("https://host/a.tif?sig=x")
    assert (signed.local, signed.href) == (None, "https://host/a.tif")
    there = Access("https://host/a.zip?sig=x", "b.tif").href
    assert there == "/vsizip/{/vsicurl/https://host/a.zip}/b.tif"
    assert file_of(there) is None
