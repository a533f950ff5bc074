"""`tollgate check` says before serving what a server would refuse."""

from pathlib import Path

from tests.serving import NO_GRPC
from tests.unit.gateway.cli.terminal import Terminal
from tests.unit.gateway.routes.doubling import MANIFEST, write_doubling_model


def test_good_repository_passes(terminal: Terminal, tmp_path: Path) -> None:
    """Every model is named as OK."""
    checked = terminal.run("check", str(tmp_path / "models"))
    assert checked.status == 0
    assert checked.out.splitlines()[1].split()[:3] == ["double", "1", "OK"]


def test_check_stands_among_the_commands_on_models(terminal: Terminal, tmp_path: Path) -> None:
    """`tollgate models check` is the same."""
    checked = terminal.run("models", "check", str(tmp_path / "models"))
    assert checked.status == 0
    assert checked.out.splitlines()[1].split()[:3] == ["double", "1", "OK"]


def test_refused_model_is_named_with_its_reason(terminal: Terminal, tmp_path: Path) -> None:
    """One bad model is exit 1, and the good ones are still shown."""
    write_doubling_model(tmp_path / "models" / "bad", manifest=MANIFEST + "\n[colour]\nred = 1\n")
    checked = terminal.run("check", str(tmp_path / "models"), "--json")
    assert checked.status == 1
    models = {model["model"]: model for model in checked.document["models"]}
    assert models["double"]["ready"]
    assert not models["bad"]["ready"]
    assert "colour" in models["bad"]["reason"]


def test_folder_that_is_not_there_is_one_line(terminal: Terminal, tmp_path: Path) -> None:
    """No traceback for a typing error."""
    checked = terminal.run("check", str(tmp_path / "nothing"))
    assert checked.status == 1
    assert checked.err.count("\n") == 1


def test_folder_without_models_is_refused(terminal: Terminal, tmp_path: Path) -> None:
    """An empty repository is a mistake of the path."""
    (tmp_path / "empty").mkdir()
    assert terminal.run("check", str(tmp_path / "empty")).status == 1


def test_models_of_the_settings_are_listed(terminal: Terminal) -> None:
    """The list needs no server."""
    listed = terminal.run("models", "list", "--json").document["models"]
    assert [(model["model"], model["ready"]) for model in listed] == [("double", True)]


def test_missing_repository_names_the_setting(terminal: Terminal, tmp_path: Path) -> None:
    """Whichever command looks for it."""
    nowhere = str(tmp_path / "nowhere")
    moved = Terminal(terminal.settings | NO_GRPC | {"TOLLGATE_MODEL_REPOSITORY": nowhere})
    assert moved.run("migrate").status == 0
    for command in (("check", nowhere), ("models", "list"), ("serve", "--port", "0"), ("demo",)):
        refused = moved.run_apart(*command)
        assert refused.status == 1
        assert refused.err.count("\n") == 1
        assert "TOLLGATE_MODEL_REPOSITORY" in refused.err
