"""The door of the HTTP interface: it accepts connections and bounds their number, and shuts nobody out.

Here: the listening sockets, the choice of the connection that makes room for a new one, and the limit of idle time.
A connection costs nothing but its descriptor until its first byte comes.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import operator
import resource
import socket
import ssl
import time
from collections.abc import Callable

import structlog

from rearguard_controller.api.guests import GRACE, Guest, Party, State
from rearguard_controller.config import Limits

log = structlog.get_logger(__name__)

BACKLOG = 1024  # connections that the system keeps until they are accepted; it may keep fewer
AT_ONCE = 16  # connections accepted in one turn of the loop: a new one has some thirty turns to bring its request
SWEEP_EVERY = 1.0  # seconds at most between two looks for idle connections
PAUSE = 0.2  # seconds without accepting after the system had no descriptor
SHARE = 2  # connections take at most one of so many parts of the descriptors; commands and the journal have the rest

Factory = Callable[[], asyncio.Protocol]
_size = operator.attrgetter("size")


class Door:
    """Accepts connections. Beyond the bound, the idlest of the address that has the most makes room for a new one."""

    def __init__(self, limits: Callable[[], Limits], clock: Callable[[], float] = time.monotonic) -> None:
        """`limits` is asked again and again, so that a reload counts. `clock` gives seconds and never jumps."""
        self._limits, self._clock = limits, clock
        self._listening: list[socket.socket] = []
        self._parties: dict[str, Party] = {}
        self._by_descriptor: dict[int, Guest] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._factory: Factory = asyncio.Protocol
        self._tls: ssl.SSLContext | None = None

    @property
    def most(self) -> int:
        """Connections that may be open: as configured, but never so many that other work has no descriptors."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        configured = self._limits().connections
        return configured if soft == resource.RLIM_INFINITY else min(configured, max(1, soft // SHARE))

    async def open(self, factory: Factory, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        """Listen; `factory` makes the protocol of each connection. Returns the port.

        Raises:
            OSError: the address is taken, or does not belong to this machine.
        """
        loop = asyncio.get_running_loop()
        self._factory, self._tls = factory, tls
        bound = await loop.create_server(factory, host, port, start_serving=False)
        self._listening = [each.dup() for each in bound.sockets]
        bound.close()
        for each in self._listening:
            each.setblocking(False)
            each.listen(BACKLOG)
            loop.add_reader(each, self._accept, each)
        return int(self._listening[0].getsockname()[1])

    def close(self) -> None:
        """Stop listening, and close the connections that have not sent anything."""
        loop = asyncio.get_running_loop()
        for each in self._listening:
            loop.remove_reader(each)
            each.close()
        self._listening = []
        for party in list(self._parties.values()):
            for guest in list(party.of(State.SILENT)):
                self._drop(guest)

    def begin(self, transport: asyncio.BaseTransport | None) -> Guest | None:
        """A request of a connection begins: it counts as busy until `end`. Returns it, if it came by this door."""
        own = None if transport is None else transport.get_extra_info("socket")
        guest = None if own is None else self._by_descriptor.get(own.fileno())
        if guest is not None:
            guest.party.move(guest, State.BUSY, self._clock())
        return guest

    def end(self, guest: Guest | None, *, known: bool) -> None:
        """The request has ended; `known`: a token was shown with it."""
        if guest is not None and not guest.is_gone:
            guest.is_known = guest.is_known or known
            guest.party.move(guest, State.KNOWN if guest.is_known else State.STRANGE, self._clock())

    async def watch(self) -> None:
        """Sweep for ever, at most `SWEEP_EVERY` seconds apart."""
        while True:
            self.sweep()
            await asyncio.sleep(min(SWEEP_EVERY, self._limits().idle_timeout / 2))

    def sweep(self) -> None:
        """Close the connections that are idle for too long, and those beyond a bound that a reload has lowered."""
        oldest = self._clock() - self._limits().idle_timeout
        for party in list(self._parties.values()):
            for guest in party.idle_since(oldest):
                self._drop(guest)
        self._make_room(None)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._rest(listening, error)
                return
            self._enter(connection, address[0])

    def _rest(self, listening: socket.socket, error: OSError) -> None:
        """Accept nothing for a moment: there is no descriptor or no memory for it."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)
        log.warning("connections_wait", error=error.strerror or str(error), open=len(self._by_descriptor))

        def again() -> None:
            if listening in self._listening:
                loop.add_reader(listening, self._accept, listening)

        loop.call_later(PAUSE, again)

    def _enter(self, connection: socket.socket, address: str) -> None:
        name = party_of(address)
        party = self._parties.get(name)
        if party is None:
            party = self._parties[name] = Party(name)
        guest = Guest(connection.detach(), party, self._left)
        guest.setblocking(False)
        self._by_descriptor[guest.fileno()] = guest
        party.enter(guest, self._clock())
        self._make_room(guest)
        asyncio.get_running_loop().add_reader(guest.fileno(), self._begin, guest)

    def _begin(self, guest: Guest) -> None:
        """The first byte has come: from here on the connection is aiohttp's. One that left instead costs no more."""
        loop = asyncio.get_running_loop()
        if guest.has_left():
            self._drop(guest)
            return
        loop.remove_reader(guest.fileno())
        guest.party.move(guest, State.STRANGE, self._clock())
        task = guest.connecting = loop.create_task(self._connect(guest))
        self._connecting.add(task)
        task.add_done_callback(functools.partial(self._connected, guest))

    async def _connect(self, guest: Guest) -> None:
        loop = asyncio.get_running_loop()
        guest.transport, _ = await loop.connect_accepted_socket(self._factory, guest, ssl=self._tls)

    def _connected(self, guest: Guest, task: asyncio.Task[None]) -> None:
        self._connecting.discard(task)
        if task.cancelled() or task.exception() is not None:  # it left, or never finished the handshake of TLS
            guest.close()

    def _make_room(self, newcomer: Guest | None) -> None:
        most = self.most
        while len(self._by_descriptor) > most:
            greediest = max(self._parties.values(), key=_size)
            self._drop(greediest.idlest(newcomer, self._clock() - GRACE))

    def _drop(self, guest: Guest) -> None:
        self._left(guest)
        if guest.transport is not None:
            guest.transport.abort()
        elif guest.connecting is not None:
            guest.connecting.cancel()
        else:
            asyncio.get_running_loop().remove_reader(guest.fileno())
            guest.close()

    def _left(self, guest: Guest) -> None:
        if guest.is_gone:
            return
        guest.is_gone = True
        del self._by_descriptor[guest.fileno()]
        guest.party.forget(guest)
        if not guest.party.size:
            self._parties.pop(guest.party.name, None)


@functools.lru_cache(maxsize=4096)
def party_of(address: str) -> str:
    """Who shares a fair part: an IPv4 address, or the 64 bits of an IPv6 address that one customer is given."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, 64), strict=False))
