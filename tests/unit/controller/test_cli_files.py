"""`rearguard files`: what comes with Rearguard is listed, and written without harm to what is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rearguard_controller.cli import main

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = {"rules": "rules", "alertmanager": "deploy/alertmanager", "grafana": "grafana", "schema": "docs/schema"}


def in_repository(kind):
    folder = ROOT / FOLDERS[kind]
    given = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    return {name: content for name, content in given.items() if not name.startswith(("tests/", "tools/"))}


def below(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("kind", FOLDERS)
def test_files_of_one_kind_are_written_into_the_folder(kind, tmp_path, capsys):
    folder = tmp_path / "new" / "folder"
    assert main(["files", kind, "--to", str(folder)]) == 0
    assert below(folder) == in_repository(kind)
    assert set(capsys.readouterr().out.split()) == {str(folder / name) for name in in_repository(kind)}


def test_files_of_all_kinds_are_written_into_a_folder_each(tmp_path):
    assert main(["files", "--to", str(tmp_path)]) == 0
    wanted = {f"{kind}/{name}": content for kind in FOLDERS for name, content in in_repository(kind).items()}
    assert below(tmp_path) == wanted
    assert {"rules/thresholds.yml", "alertmanager/alertmanager.yml", "schema/configuration.schema.json"} <= set(
        wanted
    )


def test_the_list_says_where_each_file_lies(capsys):
    assert main(["files", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["files"]
    assert {each["kind"] for each in listed} == set(FOLDERS)
    for each in listed:
        assert Path(each["at"]).read_bytes() == in_repository(each["kind"])[each["path"]]


def test_an_edited_file_stays_and_nothing_is_written_without_force(tmp_path, capsys):
    edited = tmp_path / "thresholds.yml"
    edited.write_text("groups: []\n")
    assert main(["files", "rules", "--to", str(tmp_path)]) == 1
    assert below(tmp_path) == {"thresholds.yml": b"groups: []\n"}
    said = capsys.readouterr().err
    assert "thresholds.yml" in said
    assert "--force" in said
    assert main(["files", "rules", "--to", str(tmp_path), "--force"]) == 0
    assert below(tmp_path) == in_repository("rules")


def test_writing_the_same_files_again_is_no_conflict(tmp_path):
    assert main(["files", "--to", str(tmp_path)]) == 0
    assert main(["files", "--to", str(tmp_path)]) == 0


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    assert main(["files", "rules", "--to", str(tmp_path / "taken")]) == 1
    said = capsys.readouterr().err
    assert str(tmp_path / "taken") in said
    assert "hint: --to names a folder" in said


def test_a_folder_in_the_place_of_a_file_is_told(tmp_path, capsys):
    (tmp_path / "alerts.yml").mkdir()
    assert main(["files", "rules", "--to", str(tmp_path), "--force"]) == 1
    assert str(tmp_path / "alerts.yml") in capsys.readouterr().err


def test_force_without_a_folder_is_wrong_use(capsys):
    assert main(["files", "--force"]) == 2
    assert "--to FOLDER" in capsys.readouterr().err
