"""Files that the configuration names: none of them can stop the controller, whatever it is."""

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest

from rearguard_controller.config import load, load_web
from rearguard_controller.config.beside import PATIENCE, beside
from rearguard_controller.config.exposure import remarks, remarks_on_tokens
from rearguard_controller.config.named_files import MOST, UnreadableFileError, lines_of, read_bytes, read_text
from rearguard_controller.config.secret_files import read_address, read_headers
from rearguard_controller.errors import ConfigError, RearguardError
from unit.controller.test_config import changed

LINE_ENDS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


def test_only_newlines_end_a_line():
    assert lines_of(f"a\r\nb\n{LINE_ENDS}") == ["a", "b", LINE_ENDS]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_the_mark_that_editors_write_is_no_text(tmp_path, mark):
    for name, content in (("url", b"https://a/b\n"), ("headers", b"X-Key: v\n")):
        (tmp_path / name).write_bytes(mark + content)
    assert read_address(tmp_path / "url") == "https://a/b"
    assert read_headers(tmp_path / "headers") == {"X-Key": "v"}


@pytest.mark.parametrize("end", LINE_ENDS)
def test_a_header_cannot_hide_behind_an_unusual_line_end(tmp_path, end):
    (tmp_path / "headers").write_text(f"X-Key: v{end}X-Evil: w\n", newline="")
    with pytest.raises(ConfigError, match="line 1"):
        read_headers(tmp_path / "headers")


def made(folder: Path, kind: str) -> Path:
    file = folder / "file"
    match kind:
        case "pipe":
            os.mkfifo(file)
        case "folder":
            file.mkdir()
        case "device":
            file.symlink_to("/dev/zero")
        case "circle":
            file.symlink_to(file)
    return file


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "circle", "missing"])
@pytest.mark.parametrize("read", [load, load_web, read_address, read_headers, read_text])
def test_whatever_is_no_file_is_refused_at_once_and_named(tmp_path, kind, read):
    file = made(tmp_path, kind)
    with pytest.raises((RearguardError, UnreadableFileError)) as caught:
        read(file)
    if isinstance(caught.value, RearguardError):
        assert str(file) in caught.value.message
        assert caught.value.hint


def test_a_file_that_grew_too_large_is_refused_and_not_cut(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * MOST)
    assert len(read_bytes(tmp_path / "file")) == MOST
    (tmp_path / "file").write_bytes(b"x" * (MOST + 1))
    with pytest.raises(UnreadableFileError, match="larger than 64 KiB"):
        read_bytes(tmp_path / "file")


def test_a_file_of_another_encoding_is_named_and_not_shown(tmp_path):
    (tmp_path / "file").write_bytes("s3cret".encode("utf-16"))
    with pytest.raises(UnreadableFileError, match="UTF-16"):
        read_text(tmp_path / "file")
    (tmp_path / "file").write_bytes(b"s3cret\xff")
    with pytest.raises(UnreadableFileError) as caught:
        read_text(tmp_path / "file")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_reading_that_hangs_costs_its_callers_a_bounded_time_once_and_counts_again_when_it_ends(tmp_path):
    let_go, began = threading.Event(), time.monotonic()
    ticks = 0

    async def loop_lives():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    beat = asyncio.create_task(loop_lives())
    try:
        with pytest.raises(ConfigError, match="longer than"):
            await beside(let_go.wait, [tmp_path / "hangs"])
        assert PATIENCE <= time.monotonic() - began < PATIENCE + 10
        assert ticks > 5
        threads = threading.active_count()
        for _ in range(20):
            with pytest.raises(ConfigError, match="hang"):
                await beside(let_go.wait, [tmp_path / "hangs"])
        assert threading.active_count() == threads
        assert await beside(lambda: 1, [tmp_path / "other"]) == 1
    finally:
        let_go.set()
        beat.cancel()
    async with asyncio.timeout(10):
        while True:
            try:
                assert await beside(lambda: 2, [tmp_path / "hangs"]) == 2
                break
            except ConfigError:
                await asyncio.sleep(0.01)


async def test_what_reading_raises_is_raised_to_its_caller(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        await beside(lambda: load(tmp_path / "none"), [tmp_path / "none"])


@pytest.mark.parametrize(("mode", "told"), [(0o600, []), (0o440, []), (0o644, ["readable"]), (0o602, ["writable"])])
def test_secrets_that_others_may_use_are_told_of(tmp_path, mode, told):
    (tmp_path / "tok").write_text("ann:a-token-that-nobody-guesses\n")
    (tmp_path / "tok").chmod(mode)
    found = remarks_on_tokens(tmp_path / "tok")
    assert len(found) == len(told)
    assert all(f"{word} by others" in sentence for word, sentence in zip(told, found, strict=True))


def test_every_secret_file_of_a_configuration_is_looked_at(tmp_path):
    names = ("tok", "password", "header", "url", "hook", "key.pem", "web.key")
    for name in names:
        (tmp_path / name).write_text("a-token-that-nobody-guesses\n")
        (tmp_path / name).chmod(0o644)
    (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: web.pem, key_file: web.key}\n")
    text = changed(
        "prometheus: {url: http://p:9090}",
        "prometheus: {url: http://p:9090, basic_auth: {username: a, password_file: password},"
        " tls_config: {cert_file: c.pem, key_file: key.pem}, http_headers: {X-Key: {files: [header]}}}",
    )
    text += "    hooks: {before: [{name: h, http: {url: http://h/x, headers_file: hook}}]}\n"
    text += "tokens: {viewer: tok}\ntls_config_file: web.yml\nnotify: [{url_file: url}]\n"
    (tmp_path / "rearguard.yaml").write_text(text)
    found = remarks(load(tmp_path / "rearguard.yaml"))
    assert {name for name in names if any(f"/{name} is readable" in each for each in found)} == set(names)
