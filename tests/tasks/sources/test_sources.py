"""Finding and fetching data over real connections: checked, whole or not at all, and only what was named."""

import hashlib
import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from models.errors import InputError
from tasks.params import Data
from tasks.sources import download
from tasks.sources.catalog import File
from tasks.sources.download import DownloadError, fetch
from tasks.sources.files import Locations, folder_sum, locate

CONTENT = b"a,b,y\n" + b"".join(b"%d,x,%d\n" % (i, i % 2) for i in range(20_000))
SUM = hashlib.sha256(CONTENT).hexdigest()
WRONG = "0" * 64


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT: /whole, /truncated (stops half-way), /stalled (half, then silence), /twice-busy, /missing."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str] = []
        self.released = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.split("?")[0].strip("/").split(".")[0]
        self.server.requests.append(name)
        if name == "missing":
            self.send_error(404)
            return
        if name == "twice-busy" and self.server.requests.count(name) <= 2:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if name == "stalled":
            self.wfile.write(CONTENT[: len(CONTENT) // 2])
            self.wfile.flush()
            self.server.released.wait(20)
        else:
            self.wfile.write(CONTENT[: len(CONTENT) // 2] if name == "truncated" else CONTENT)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "SECONDS_BETWEEN_ATTEMPTS", 0.0)
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.released.set()
        running.shutdown()


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Address of a real S3 server on loopback."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield f"http://{host}:{port}"
    server.stop()


def names(folder: Path) -> list[str]:
    """All files below a folder, hidden ones too."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def toy_catalogue(folder: Path, url: str, sha256: str = SUM) -> Path:
    path = folder / "catalog.yaml"
    path.write_text(
        f"toy:\n  about: A toy.\n  licence: none\n  target: {{column: y}}\n"
        f"  mirror: {{format: csv, files: [{{name: toy/toy.csv, sha256: '{sha256}'}}]}}\n"
        f"  public: {{format: csv, files: [{{name: toy/toy.csv, url: '{url}', sha256: '{sha256}'}}]}}\n"
    )
    return path


def test_mirror_is_taken_before_any_download(tmp_path: Path, server: Server) -> None:
    (tmp_path / "mirror/toy").mkdir(parents=True)
    (tmp_path / "mirror/toy/toy.csv").write_bytes(CONTENT)
    locations = Locations(tmp_path / "mirror", tmp_path / "downloads")
    found = locate(Data(name="toy"), locations, toy_catalogue(tmp_path, server.url("whole.csv")))
    assert found.files[0].path == tmp_path / "mirror/toy/toy.csv"
    assert found.files[0].name == "toy/toy.csv"
    assert server.requests == []


def test_wrong_checksum_in_the_mirror_names_both_sums_the_file_and_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "mirror/toy/toy.csv"
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT + b"\n")
    with pytest.raises(InputError) as caught:
        locate(
            Data(name="toy"),
            Locations(tmp_path / "mirror", tmp_path),
            toy_catalogue(tmp_path, "https://example.org/toy.csv"),
        )
    message = str(caught.value)
    assert str(file) in message
    assert f"expected {SUM}" in message
    assert "found    " + hashlib.sha256(CONTENT + b"\n").hexdigest() in message
    assert "unset EQUIPOISE_MIRROR" in message


def test_a_mirror_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"EQUIPOISE_MIRROR: .*nowhere is not a folder"):
        locate(Data(name="adult"), Locations(tmp_path / "nowhere", tmp_path))


def test_download_happens_once_and_is_checked_again(tmp_path: Path, server: Server) -> None:
    catalogue = toy_catalogue(tmp_path, server.url("whole.csv"))
    locations = Locations(None, tmp_path / "downloads")
    for _ in range(2):
        assert locate(Data(name="toy"), locations, catalogue).files[0].path.read_bytes() == CONTENT
    assert server.requests == ["whole"]
    (tmp_path / "downloads/toy/toy.csv").write_bytes(b"spoilt")
    assert locate(Data(name="toy"), locations, catalogue).files[0].path.read_bytes() == CONTENT
    assert server.requests == ["whole", "whole"]


def test_wrong_checksum_of_a_download_names_both_sums_and_keeps_nothing(tmp_path: Path, server: Server) -> None:
    catalogue = toy_catalogue(tmp_path, server.url("whole.csv"), WRONG)
    with pytest.raises(InputError, match=f"(?s)whole.csv: wrong SHA-256.*expected {WRONG}.*found    {SUM}"):
        locate(Data(name="toy"), Locations(None, tmp_path / "downloads"), catalogue)
    assert names(tmp_path / "downloads") == []


def test_a_connection_that_ends_early_is_tried_again_and_leaves_nothing(tmp_path: Path, server: Server) -> None:
    with pytest.raises(DownloadError, match=f"ended after {len(CONTENT) // 2:,} of {len(CONTENT):,} bytes"):
        fetch(server.url("truncated.csv"), tmp_path / "file.csv")
    assert server.requests == ["truncated"] * download.ATTEMPTS
    assert names(tmp_path) == []


def test_a_busy_server_is_asked_again(tmp_path: Path, server: Server) -> None:
    assert fetch(server.url("twice-busy.csv"), tmp_path / "file.csv") == SUM
    assert (tmp_path / "file.csv").read_bytes() == CONTENT


def test_an_address_that_is_not_there_is_not_asked_again(tmp_path: Path, server: Server) -> None:
    with pytest.raises(InputError, match="404"):
        fetch(server.url("missing.csv"), tmp_path / "file.csv")
    assert server.requests == ["missing"]


def test_a_failed_download_leaves_the_file_that_was_there(tmp_path: Path, server: Server) -> None:
    (tmp_path / "file.csv").write_bytes(b"older")
    with pytest.raises(InputError, match="wrong SHA-256"):
        fetch(server.url("whole.csv"), tmp_path / "file.csv", WRONG)
    assert (tmp_path / "file.csv").read_bytes() == b"older"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_download_leaves_no_half_file(
    tmp_path: Path, server: Server, how: signal.Signals, repository: Path
) -> None:
    code = f"from pathlib import Path; from tasks.sources.download import fetch; fetch({server.url('stalled.csv')!r}, Path({str(tmp_path / 'file.csv')!r}))"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=repository, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not any(p.stat().st_size for p in tmp_path.iterdir()):
        assert time.monotonic() < deadline, "the download did not begin"
        time.sleep(0.02)
    assert names(tmp_path) != ["file.csv"]
    process.send_signal(how)
    assert process.wait(20) != 0
    assert not (tmp_path / "file.csv").exists()
    if how is signal.SIGINT:
        assert names(tmp_path) == []
    for left in tmp_path.iterdir():
        os.utime(left, (0, 0))
    fetch(server.url("whole.csv"), tmp_path / "file.csv")
    assert names(tmp_path) == ["file.csv"]


def test_plain_http_needs_a_checksum(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can be changed on the way"):
        fetch("http://example.org/data.csv", tmp_path / "data.csv")


def test_messages_do_not_show_what_may_be_secret(tmp_path: Path, server: Server) -> None:
    with pytest.raises(InputError) as caught:
        fetch(server.url("missing.csv?signature=secret"), tmp_path / "file.csv")
    assert "secret" not in str(caught.value)
    with pytest.raises(InputError, match="no suffix") as caught:
        locate(Data(path="https://me:secret@example.org/rows?token=secret"), Locations(None, tmp_path))
    assert "secret" not in str(caught.value)
    assert download.shown("https://me:secret@example.org/a.csv?token=secret") == "https://example.org/a.csv"


def test_a_users_address_is_fetched_anew_unless_its_sum_is_given(tmp_path: Path, server: Server) -> None:
    locations = Locations(None, tmp_path)
    for _ in range(2):
        found = locate(Data(path=server.url("whole.csv")), locations)
        assert (found.format, found.label, found.files[0].name, found.files[0].sha256) == (
            "csv",
            "whole",
            "whole.csv",
            SUM,
        )
    assert len(server.requests) == 2
    for _ in range(2):
        locate(Data(path=server.url("whole.csv"), sha256=SUM), locations)
    assert len(server.requests) == 2


def test_a_users_file_with_another_sum_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_bytes(CONTENT)
    with pytest.raises(InputError, match=f"(?s)mine.csv: wrong SHA-256.*{WRONG}.*{SUM}.*data.sha256"):
        locate(Data(path=str(tmp_path / "mine.csv"), sha256=WRONG), Locations(None, tmp_path))


def test_a_path_that_does_not_exist_gets_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "loans.csv").touch()
    with pytest.raises(InputError, match=r"loan\.csv does not exist\. Did you mean 'loans\.csv'\?"):
        locate(Data(path=str(tmp_path / "loan.csv")), Locations(None, tmp_path))


@pytest.mark.parametrize("path", ["https://example.org/table.xlsx", "ftp://example.org/table.csv", "table.xlsx"])
def test_what_cannot_be_read_is_refused_before_anything_is_fetched(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.xlsx").touch()
    with pytest.raises(InputError, match=r"data\.path"):
        locate(Data(path=path), Locations(None, tmp_path / "downloads"))


def test_csv_from_s3(tmp_path: Path, s3: str) -> None:
    client = boto3.client("s3")
    client.create_bucket(Bucket="tables")
    client.put_object(Bucket="tables", Key="in/loans.csv", Body=CONTENT)
    found = locate(Data(path="s3://tables/in/loans.csv", sha256=SUM), Locations(None, tmp_path))
    assert found.files[0].path.read_bytes() == CONTENT
    with pytest.raises(InputError, match="NoSuchKey"):
        locate(Data(path="s3://tables/in/other.csv"), Locations(None, tmp_path))
    with pytest.raises(InputError, match="NoSuchBucket"):
        locate(Data(path="s3://nowhere/in/other.csv"), Locations(None, tmp_path))


def test_folder_of_images_from_s3(tmp_path: Path, s3: str) -> None:
    client = boto3.client("s3")
    client.create_bucket(Bucket="images")
    for name in ("", "cat/", "cat/1.png", "dog/1.png"):  # consoles mark a folder by an empty object
        client.put_object(Bucket="images", Key=f"pets/{name}", Body=name.encode())
    found = locate(Data(path="s3://images/pets"), Locations(None, tmp_path))
    assert found.format == "images"
    assert names(found.files[0].path) == ["cat/1.png", "dog/1.png"]
    assert found.files[0].sha256 == folder_sum(found.files[0].path)
    client.delete_object(Bucket="images", Key="pets/dog/1.png")
    assert names(locate(Data(path="s3://images/pets"), Locations(None, tmp_path)).files[0].path) == ["cat/1.png"]
    with pytest.raises(InputError, match="holds nothing"):
        locate(Data(path="s3://images/plants"), Locations(None, tmp_path))


def test_a_key_cannot_leave_the_download_folder(tmp_path: Path, s3: str) -> None:
    client = boto3.client("s3")
    client.create_bucket(Bucket="sly")
    client.put_object(Bucket="sly", Key="pets/../../../escaped.png", Body=b"x")
    with pytest.raises(InputError, match="would leave"):
        locate(Data(path="s3://sly/pets"), Locations(None, tmp_path / "downloads"))
    assert names(tmp_path) == []


def test_a_file_needs_a_whole_sum() -> None:
    with pytest.raises(ValueError, match="sha256"):
        File(name="a", sha256="abc")
