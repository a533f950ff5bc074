"""Let the servers of one test run share what they found out about models.

Each would vet the same few models in a child process, half a second each; those tests that are
about vetting use folders of their own.
"""

import atexit
import functools
import tempfile
from pathlib import Path

from gateway.data_folder import PRIVATE_FOLDER


def share_verdicts(data_dir: Path) -> Path:
    """Make a data folder whose verdicts are those of the whole run, and return it."""
    data_dir.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    verdicts = data_dir / "vetted"
    if not verdicts.is_symlink() and not verdicts.exists():
        verdicts.symlink_to(_verdicts_of_the_run())
    return data_dir


@functools.cache
def _verdicts_of_the_run() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="tollgate-verdicts-")
    atexit.register(folder.cleanup)
    return Path(folder.name)
