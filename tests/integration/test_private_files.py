"""A running server keeps everything that it writes to itself."""

import stat
from pathlib import Path

from tests.serving import Server, free_port

WRITTEN = {
    "tollgate.db",
    "tollgate.db-wal",
    "tollgate.db-shm",
    "key_pepper",
    "sealing_key",
    "generation",
    "demo.json",
    "journals",
    "journals/worker-0.db",
    "journals/worker-0.db-wal",
    "journals/worker-0.db-shm",
    "journals/worker-0.db.lock",
}


def test_files_of_a_running_server_are_private(tmp_path: Path) -> None:
    """Whatever the umask of who starts it."""
    shell = ("sh", "-c", 'umask 0; exec "$@"', "sh")
    server = Server(tmp_path, free_port(), wrapper=shell)
    server.start()
    try:
        found = {
            path.relative_to(tmp_path).as_posix(): path.stat().st_mode
            for path in tmp_path.rglob("*")
            if path.name != "server.log"
        }
    finally:
        server.stop()
    assert found.keys() >= WRITTEN
    assert {name for name, mode in found.items() if stat.S_IMODE(mode) & 0o077} == set()
