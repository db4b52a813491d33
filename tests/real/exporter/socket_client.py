"""A WebSocket client in a process of its own, which tests kill, stop or tell how to leave."""

import sys

from websockets.sync.client import connect


def main(url):
    with connect(url, ping_interval=None) as socket:
        socket.send("hello")
        print(socket.recv(), flush=True)  # noqa: T201 - the test waits for it
        code = int(sys.stdin.readline())
        socket.close(code)


if __name__ == "__main__":
    main(sys.argv[1])
