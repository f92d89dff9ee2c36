"""A stage as DVC runs it: what it says when it fails."""

import shutil
import sys

import pytest

from models.errors import InputError
from tasks.stage import Stage


def test_an_error_is_said_without_credentials(tmp_path, repository, monkeypatch, capsys):
    def fail(*_):
        raise InputError("https://me:hunter2@example.org/x does not answer.")

    shutil.copy(repository / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # main sets one of its own
    with pytest.raises(SystemExit) as ended:
        Stage("ask", fail, (), {}, {}).main()
    assert ended.value.code == InputError.exit_code
    assert capsys.readouterr().err == "ask: https://example.org/x does not answer.\n"
