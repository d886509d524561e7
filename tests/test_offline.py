"""The guard refuses each way out that Python's sockets offer, in subprocesses and kernels too; loopback passes."""

import contextlib
import os
import socket
import subprocess
import sys
import threading

import pytest
from jupyter_client.manager import KernelManager

from course_utils.commands.notebook_runner import ThisPython

OUTSIDE = ["connect(('192.0.2.1', 80))", "connect_ex(('192.0.2.1', 80))", "sendto(b'x', ('192.0.2.1', 53))"]


@pytest.fixture(autouse=True)
def own_log(monkeypatch, tmp_path):
    """These refusals are meant; they stay out of the log that fails a test run."""
    monkeypatch.setenv("COURSE_GUARD_LOG", str(tmp_path / "refused.log"))
    return tmp_path / "refused.log"


@pytest.mark.parametrize("call", OUTSIDE)
def test_connections_are_refused_and_written_down(call, own_log):
    kind = socket.SOCK_DGRAM if "sendto" in call else socket.SOCK_STREAM
    refused = pytest.raises(ConnectionRefusedError, match="without a network")
    with socket.socket(socket.AF_INET, kind) as sender, refused:
        eval(f"sender.{call}", {"sender": sender})
    assert "192.0.2.1" in own_log.read_text()


@pytest.mark.parametrize("address", ["2001:db8::1", "::ffff:192.0.2.1"])
def test_the_second_protocol_is_refused_too(address):
    if not socket.has_ipv6:
        pytest.fail("this Python has no IPv6, so the guard's second half cannot be shown; use another build")
    with socket.socket(socket.AF_INET6) as sender, pytest.raises(ConnectionRefusedError):
        sender.connect((address, 80))


@pytest.mark.parametrize("look_up", ["getaddrinfo", "gethostbyname", "gethostbyname_ex", "create_connection"])
def test_name_lookups_are_refused(look_up):
    arguments = {"getaddrinfo": ("example.org", 80), "create_connection": (("example.org", 80),)}
    with pytest.raises(ConnectionRefusedError):
        getattr(socket, look_up)(*arguments.get(look_up, ("example.org",)))


def test_a_refusal_that_a_library_swallows_is_still_in_the_log(own_log):
    with contextlib.suppress(OSError):
        socket.create_connection(("example.org", 443), timeout=1)
    assert "example.org" in own_log.read_text()


def test_loopback_passes(own_log):
    with socket.create_server(("127.0.0.1", 0)) as server:
        answer = threading.Thread(target=lambda: server.accept()[0].sendall(b"hello"))
        answer.start()
        with socket.create_connection(("localhost", server.getsockname()[1]), timeout=5) as client:
            assert client.recv(5) == b"hello"
        answer.join()
    socket.getaddrinfo(socket.gethostname(), 80)  # Jupyter asks for the machine's own name when it starts a kernel
    assert not own_log.exists()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")
def test_unix_sockets_pass(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the address of a Unix socket must be short
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("s")
        server.listen()
        client.connect("s")


ATTEMPT = "import urllib.request; urllib.request.urlopen('http://192.0.2.1/', timeout=5)"


@pytest.mark.parametrize("nested", [False, True])
def test_subprocesses_are_guarded(nested, own_log):
    code = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {ATTEMPT!r}]).returncode)"
    quiet = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    command = [sys.executable, "-c", code if nested else ATTEMPT]
    done = subprocess.run(command, capture_output=True, text=True, env=quiet)
    assert done.returncode == 1
    assert "The tests run without a network" in done.stderr
    assert "192.0.2.1" in own_log.read_text()


def test_kernels_are_guarded(own_log):
    manager = KernelManager(kernel_spec_manager=ThisPython())
    manager.start_kernel(extra_arguments=["--log-level=ERROR"])
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        code = "import socket, sys; print(sys.executable); socket.create_connection(('192.0.2.1', 80), timeout=5)"
        reply = client.execute_interactive(code, timeout=60, output_hook=lambda message: None)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert (reply["content"]["status"], reply["content"]["ename"]) == ("error", "ConnectionRefusedError")
    assert "192.0.2.1" in own_log.read_text()


def test_the_installations_own_sitecustomize_still_runs(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.from_the_other = True")
    path = os.pathsep.join([os.environ["PYTHONPATH"], str(tmp_path)])
    code = "import sys; print(sys.from_the_other)"
    variables = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables)
    assert done.stdout.strip() == "True", done.stderr
