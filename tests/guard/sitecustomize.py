"""Refuses any network but loopback in each Python that starts with this folder on its PYTHONPATH, kernels included.

An audit hook sees connections and name look-ups made through Python's socket module and cannot be taken off again.
It does not see native code that opens sockets by itself; the test command points proxies at a dead end for that.
Each refusal goes to the file COURSE_GUARD_LOG as well, because a library may swallow the error.
"""

import importlib.machinery
import importlib.util
import ipaddress
import os
import socket
import sys

LOCAL_FAMILIES = {getattr(socket, name) for name in ("AF_UNIX", "AF_NETLINK") if hasattr(socket, name)}
SENDING = {"socket.connect", "socket.sendto", "socket.sendmsg"}
LOOKING_UP = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}


def is_loopback(host):
    """True for this machine: no host, loopback addresses, "localhost" and the machine's own name."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if not host or host.lower() in ("localhost", socket.gethostname().lower()):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def refuse(event, target):
    """Write the attempt down and raise."""
    log = os.environ.get("COURSE_GUARD_LOG")
    if log:
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"{event} {target!r} by {' '.join(sys.argv)[:200] or sys.executable}\n")
    raise ConnectionRefusedError(f"The tests run without a network, and something asked for {target!r} ({event}).")


def hook(event, arguments):
    """The audit hook: sees each event of this Python, acts on those of sockets."""
    if event in SENDING:
        sender, address = arguments[0], arguments[1]
        # a socket that is already connected sends without an address; its connection was judged before
        if sender.family in LOCAL_FAMILIES or address is None:
            return
        if not isinstance(address, tuple) or not address[0] or not is_loopback(address[0]):
            refuse(event, address)
    elif event in LOOKING_UP and not is_loopback(arguments[0]):
        refuse(event, arguments[0])


def load_the_other():
    """Run the sitecustomize that this one stands in front of, if the installation has one."""
    here = os.path.dirname(os.path.abspath(__file__))
    others = [folder for folder in sys.path if os.path.abspath(folder) != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec and spec.loader:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


sys.addaudithook(hook)
load_the_other()
