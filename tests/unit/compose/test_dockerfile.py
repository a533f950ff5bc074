"""The rules that the image's recipe keeps."""

import re

from gateway.settings import PREFIX, Settings
from tests.compose_file import ROOT

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
LINES = [line for line in TEXT.splitlines() if line and not line.lstrip().startswith("#")]
INSTRUCTIONS = re.sub(r"\\\n\s*", "", "\n".join(LINES)).splitlines()
FINAL_STAGE = INSTRUCTIONS[
    max(number for number, line in enumerate(INSTRUCTIONS) if line.startswith("FROM ")) :
]
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def instructions(name: str) -> list[str]:
    """List the arguments of each such instruction of the stage that is shipped."""
    return [line.removeprefix(name).strip() for line in FINAL_STAGE if line.startswith(f"{name} ")]


def test_base_images_have_tags() -> None:
    """A rebuild takes fixes of one release, not another release."""
    bases = [line.split()[1] for line in INSTRUCTIONS if line.startswith("FROM ")]
    assert all(re.fullmatch(r"[a-z]+:[\w.-]+", base) for base in bases)
    assert not any(base.endswith(":latest") for base in bases)


def test_image_runs_as_a_fixed_user_that_is_not_root() -> None:
    """Volumes and other containers refer to the number."""
    assert instructions("USER") == ["10001:10001"]


def test_signals_reach_the_server() -> None:
    """A shell in between would keep SIGTERM to itself, and the drain would never begin."""
    assert instructions("ENTRYPOINT") == ['["tollgate"]']
    assert instructions("CMD") == ['["serve"]']
    assert instructions("STOPSIGNAL") == ["SIGTERM"]


def test_dependencies_are_checked_against_the_lock() -> None:
    """Nothing is installed that was not reviewed, and nothing is compiled on the way."""
    installs = [line for line in INSTRUCTIONS if "pip install" in line]
    assert "--require-hashes --requirement requirements.lock" in installs[0]
    assert "--only-binary :all:" in installs[0]
    assert all("--no-deps" in line for line in installs[1:])


def test_image_is_told_no_secret() -> None:
    """Arguments and variables of a build stay readable in the image's history."""
    told = [line for line in INSTRUCTIONS if line.startswith(("ARG ", "ENV "))]
    assert not re.search(r"password|secret|token|pepper|key", " ".join(told), re.IGNORECASE)


def test_settings_of_the_image_are_settings() -> None:
    """A misspelt one would do nothing but warn."""
    names = re.findall(rf"{PREFIX}(\w+)=", TEXT)
    assert names
    assert {name.lower() for name in names} <= Settings.model_fields.keys()


def test_build_sees_only_what_is_named() -> None:
    """A secret, a database or a key that lies in the folder cannot get into a layer."""
    assert next(line for line in IGNORED if not line.startswith("#")) == "*"
    copied = {
        name
        for line in INSTRUCTIONS
        if line.startswith("COPY ") and "--from=" not in line
        for name in line.split()[1:-1]
        if not name.startswith("--")
    }
    assert {line[1:] for line in IGNORED if line.startswith("!")} == copied
