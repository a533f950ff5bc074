"""Which codec a request gets: Content-Type decides how it is read, Accept how it is answered."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.dataplane.codecs import ARROW, ARROW_FILE, CSV, JSON, choose_codec
from gateway.dataplane.media_types import preferred, read_media_type
from gateway.dataplane.table_codec import TableCodec
from gateway.dataplane.v1 import V1Codec
from gateway.errors import MediaTypeUnsupported
from tests.serving import ROOT

OFFERED = (JSON, CSV, ARROW)


def headers_of(content_type: str = "", accept: str = "") -> list[tuple[bytes, bytes]]:
    """Write the headers of a request."""
    pairs = ((b"content-type", content_type), (b"accept", accept))
    return [(name, value.encode()) for name, value in pairs if value]


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("*/*", JSON),
        ("text/csv", CSV),
        ("TEXT/CSV", CSV),
        ("text/*", CSV),
        ("text/csv;q=0.5, application/json", JSON),
        ("text/csv, application/json;q=0.9", CSV),
        ("application/json;q=0, */*;q=0.1", CSV),
        ("text/csv;q=0, text/*", None),
        ("text/html, application/xml;q=0.9, */*;q=0.8", JSON),
        (f"{ARROW}, text/csv;q=0.9", ARROW),
        ("text/html", None),
        ("text/csv;q=nan", None),
        ("text/csv;q=-1", None),
        ("text/csv;q=", CSV),
        (";;,,=,", None),
        ("", None),
    ],
)
def test_accept_chooses_by_weight(accept: str, wanted: str | None) -> None:
    """The closest range counts, a weight of nothing refuses, and the first of equals wins."""
    assert preferred(accept.encode(), OFFERED) == wanted


def test_parameters_of_a_media_type_are_read() -> None:
    """Quotes and case are the writer's choice."""
    found = read_media_type(b'Text/CSV; Header="absent" ;charset=UTF-8; x')
    assert found == ("text/csv", {"header": "absent", "charset": "utf-8"})


@pytest.mark.parametrize("content_type", ["", JSON, "application/x-www-form-urlencoded", "x/y"])
@pytest.mark.parametrize("accept", ["", "*/*", JSON, "text/html", "text/html, */*;q=0.1"])
def test_clients_of_v1_get_v1(content_type: str, accept: str) -> None:
    """Whatever their tools put into the two headers."""
    assert isinstance(choose_codec("predict", headers_of(content_type, accept)), V1Codec)


@pytest.mark.parametrize(
    ("content_type", "protocol"),
    [(CSV, "csv"), ("text/csv; charset=utf-8", "csv"), (ARROW, "arrow"), (JSON, "v1")],
)
def test_usage_names_the_form_of_the_request(content_type: str, protocol: str) -> None:
    """Whatever the answer is."""
    codec = choose_codec("predict", headers_of(content_type, CSV))
    assert isinstance(codec, TableCodec)
    assert codec.protocol == protocol


@pytest.mark.parametrize("content_type", ["text/csv; charset=iso-8859-1", ARROW_FILE])
def test_forms_that_are_not_read_are_refused(content_type: str) -> None:
    """With a reason that says what to send."""
    with pytest.raises(MediaTypeUnsupported):
        choose_codec("predict", headers_of(content_type))


def test_without_the_extra_arrow_is_refused_and_csv_is_not(tmp_path: Path) -> None:
    """The server starts, says what is missing, and answers no Accept with Arrow."""
    (tmp_path / "pyarrow.py").write_text("raise ModuleNotFoundError('no', name='pyarrow')")
    script = (
        "from gateway.dataplane.codecs import *\n"
        "from gateway.dataplane.v1 import V1Codec\n"
        "assert choose_codec('predict', [(b'content-type', b'text/csv')]).protocol == 'csv'\n"
        "assert isinstance(choose_codec('predict', [(b'accept', ARROW.encode())]), V1Codec)\n"
        "try:\n"
        "    choose_codec('predict', [(b'content-type', ARROW.encode())])\n"
        "except MediaTypeUnsupported as refusal:\n"
        "    print(refusal.message)\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "needs the extra `arrow`" in done.stdout
