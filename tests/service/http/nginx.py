"""A real nginx in front of what is tested."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.requirements_check import require
from tests.waiting import wait_until

_NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
_FRAME = """
daemon off;
{user}pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {servers}
}}
"""


@contextmanager
def nginx(folder: Path, port: int, servers: str) -> Iterator[None]:
    """Runs nginx with `servers` in its http block until the block ends. One of them listens on `port` of 127.0.0.1."""
    require("nginx", present=_NGINX is not None, remedy="install the system package nginx-light")
    configuration, errors = folder / "nginx.conf", folder / "error.log"
    user = "user root;\n" if os.geteuid() == 0 else ""  # else its workers may not enter a test's folder
    configuration.write_text(_FRAME.format(user=user, folder=folder, servers=servers))
    command = [str(_NGINX), "-c", str(configuration), "-e", str(errors)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def listens() -> bool:
        assert process.poll() is None, errors.read_text()
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            return False
        return True

    try:
        wait_until(listens, "nginx does not listen", 0.01)
        yield
    finally:
        process.terminate()
        process.wait()
