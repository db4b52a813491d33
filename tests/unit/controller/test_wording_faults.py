"""What a library says of a connection that failed, as people read it."""

import asyncio
import ssl

import aiohttp
import pytest

from local_stack.process import free_ports
from rearguard_controller.wording import fault


@pytest.mark.parametrize("settings", [True, False, ssl.create_default_context()])
async def test_a_connection_that_is_refused_is_told_without_the_library_s_own_settings(settings):
    port = free_ports(1)[0]
    async with aiohttp.ClientSession(trust_env=False) as session:
        with pytest.raises(aiohttp.ClientConnectorError) as refused:
            await session.get(f"https://127.0.0.1:{port}", ssl=settings)
    said = fault(refused.value)
    assert f"127.0.0.1:{port}" in said
    assert "ssl" not in said.lower()
    assert "<" not in said


def test_an_error_without_words_is_told_by_its_kind():
    assert fault(asyncio.IncompleteReadError(b"", 1)) != ""
    assert fault(ConnectionResetError()) == "ConnectionResetError"


def test_no_secret_part_of_an_address_is_told():
    assert "hunter2" not in fault(OSError("http://ann:hunter2@prometheus:9090/x?token=hunter2 is away"))
