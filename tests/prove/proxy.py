"""A TCP proxy in front of PostgreSQL that cuts connections at their COMMIT: the client cannot know what became of it.

``python -m tests.prove.proxy LISTEN TARGET FOLDER SEED``. It cuts while ``FOLDER/cutting`` exists, and appends how to
``FOLDER/cuts``: ``before`` the server has seen the COMMIT, ``after`` it has answered, ``between`` the two.
"""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import suppress
from pathlib import Path

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""As the driver sends it: a simple query of its own."""

WAYS = ("before", "between", "after")
SHARE = 0.15
"""Of the commits that are cut while it cuts."""


class Proxy:
    """``dice`` decides which commits are cut, and how."""

    def __init__(self, target: int, folder: Path, dice: random.Random) -> None:
        self.target = target
        self.cutting = folder / "cutting"
        self.cuts = folder / "cuts"
        self.dice = dice

    async def serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """One client's connection, until either side ends it or it is cut."""
        try:
            server, forth = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            back.close()
            return
        answering = asyncio.create_task(self._answers(server, back))
        try:
            while data := await client.read(65536):
                way = self._way_of(data)
                if way == "before":
                    break
                if way == "after":
                    answering.cancel()
                    with suppress(asyncio.CancelledError):
                        await answering
                forth.write(data)
                await forth.drain()
                if way == "after":
                    await server.read(65536)
                if way:
                    break
        except OSError:
            pass
        finally:
            answering.cancel()
            for side in (forth, back):
                side.close()

    async def _answers(self, server: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await server.read(65536):
                back.write(data)
                await back.drain()
        back.close()

    def _way_of(self, data: bytes) -> str:
        """How this message is cut; empty when it is not."""
        if not data.endswith(COMMIT) or not self.cutting.exists() or self.dice.random() > SHARE:
            return ""
        way = self.dice.choice(WAYS)
        with self.cuts.open("a") as file:
            file.write(f"{way}\n")
        return way


async def _main(listen: int, target: int, folder: Path, seed: int) -> None:
    proxy = Proxy(target, folder, random.Random(seed))
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", listen)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])))
