"""The process of a relay: TCP from one listening socket to one address, byte by byte.

It is run as a file, with nothing but the standard library (``python -I -S relay_process.py SOCKET HOST
PORT``), by root, becomes nobody, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import threading

NOBODY = 65534
CHUNK_BYTES = 1 << 16
CONNECT_TIMEOUT_S = 10.0
LEFT_S = 60.0
"""How long the engine may take to end what nobody sends to any longer: a request that was given up, say."""


async def _pass_on(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    """Pass on bytes to their end."""
    with contextlib.suppress(OSError):
        while piece := await source.read(CHUNK_BYTES):
            to.write(piece)
            await to.drain()
        to.write_eof()


async def _relay(listener: socket.socket, host: str, port: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError), contextlib.closing(writer):
            from_there, to_there = await asyncio.wait_for(
                asyncio.open_connection(host, port), CONNECT_TIMEOUT_S
            )
            with contextlib.closing(to_there):
                answering = asyncio.create_task(_pass_on(from_there, writer))
                await _pass_on(reader, to_there)
                await asyncio.wait_for(answering, LEFT_S)

    async with await asyncio.start_server(serve, sock=listener) as server:
        await server.serve_forever()


def _end_with_the_run() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _become_nobody() -> None:
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)  # with which its capabilities go


if __name__ == "__main__":
    _become_nobody()
    threading.Thread(target=_end_with_the_run, daemon=True).start()
    asyncio.run(_relay(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], int(sys.argv[3])))
