"""nginx/README.md lists every variable and every code, and shared codes mean the same."""

import re

from gateway.problems import TABLE, UNEXPECTED
from tests.serving import ROOT

NGINX = ROOT / "nginx"
INNER = {"NGINX_BINARY"}
"""Of `render.sh`, for tests."""


def titles() -> dict[str, str]:
    """Read what nginx calls each of its codes."""
    text = (NGINX / "templates" / "problems.conf.template").read_text()
    block = text.partition("$problem_title {")[2].partition("}")[0]
    return dict(re.findall(r'^ +([a-z_0-9]+) "(.+)";$', block, re.MULTILINE))


def test_every_code_is_listed() -> None:
    """In the table of who answers what."""
    listed = re.findall(
        r"^\| `([a-z_0-9]+)` \| \d", (NGINX / "README.md").read_text(), re.MULTILINE
    )
    told = set(titles()) - {"default"} | {"bad_request"}
    assert sorted(listed) == sorted(told)


def test_code_of_both_has_one_title() -> None:
    """A client need not know which of the two refused."""
    ours = {row.code: row.title for row in (*TABLE, UNEXPECTED)}
    shared = {code: title for code, title in titles().items() if code in ours}
    assert {"body_too_large", "head_too_large", "not_found"} < shared.keys()
    assert shared == {code: ours[code] for code in shared}


def test_every_variable_is_listed() -> None:
    """With its default, in the table of variables."""
    script = (NGINX / "render.sh").read_text()
    used = set(re.findall(r"\$\{((?:NGINX|TOLLGATE)_[A-Z_]+):?[-?]", script)) - INNER
    listed = set(re.findall(r"`((?:NGINX|TOLLGATE)_[A-Z_]+)`", (NGINX / "README.md").read_text()))
    assert used <= listed
