"""A receiver that answers beside one that never does, and how soon the first gets its deliveries."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time

from tests.stack.driving import HANG_S, DeployedStack, eventually
from tests.stack.sending import DeliverySender

from tunehook.deliveries import Delivery
from webhooks.attempt import ATTEMPT_S

DELIVERIES = 200


class Receivers(threading.Thread):
    """Two receivers on loopback: one that answers at once, and one that never does."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.received_at_s: dict[str, float] = {}
        self.hanging = 0
        """How many requests wait at the one that hangs."""
        self.most_hanging = 0
        """How many have waited there at once."""
        self.ports: tuple[int, int] = (0, 0)
        self._listening = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()

    def __enter__(self) -> Receivers:
        self.start()
        assert self._listening.wait(HANG_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self.join(HANG_S)

    def run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        quick = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        stuck = await asyncio.start_server(self._hang, "127.0.0.1", 0)
        self.ports = (quick.sockets[0].getsockname()[1], stuck.sockets[0].getsockname()[1])
        self._listening.set()
        await self._ending.wait()
        for server in (quick, stuck):
            server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = (line.partition(": ") for line in head.split("\r\n")[1:])
                headers = {name.lower(): value for name, _, value in lines}
                await reader.readexactly(int(headers["content-length"]))
                self.received_at_s.setdefault(headers["webhook-id"], time.time())
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _hang(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.hanging += 1
        self.most_hanging = max(self.most_hanging, self.hanging)
        try:
            while await reader.read(65_536):
                pass
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.hanging -= 1
            writer.close()


class Sender:
    """Puts deliveries to the two receivers into the queue of a deployed stack, and sees when they arrive."""

    def __init__(self, stack: DeployedStack, receivers: Receivers, unique: str) -> None:
        self._stack = stack
        self._receivers = receivers
        self._unique = unique
        self._deliveries = DeliverySender(stack, unique)

    def p95_s(self, name: str, *, beside_one_that_hangs: bool) -> float:
        """Return the 95th percentile of the time from queue to receipt at a receiver that answers."""
        quick, stuck = (f"{self._unique}-{name}-{kind}" for kind in ("quick", "stuck"))
        for subscription_id, port in zip((quick, stuck), self._receivers.ports, strict=True):
            self._stack.put(
                "SubscriptionsTable", subscription_id=subscription_id, url=f"http://127.0.0.1:{port}/"
            )
        sent: list[Delivery] = []
        for number in range(DELIVERIES):
            sent.append(self._deliveries.create(quick, number))
            if beside_one_that_hangs:
                sent.append(self._deliveries.create(stuck, number))
        sent_at_s = self._deliveries.send(sent)
        waited_for = {
            each.delivery_id: sent_at_s[each.delivery_id] for each in sent if each.subscription_id == quick
        }
        received = self._receivers.received_at_s
        eventually(lambda: waited_for.keys() <= received.keys(), moved=lambda: [len(received)], every_s=0.1)
        return statistics.quantiles((received[each] - at_s for each, at_s in waited_for.items()), n=20)[-1]

    def clear(self) -> None:
        """Take away what still goes to the receivers that hang, and wait until no worker waits for one."""
        self._stack.client("sqs").purge_queue(QueueUrl=self._stack.outputs["DeliveriesQueue"])
        time.sleep(ATTEMPT_S + 2)
        self._stack.client("sqs").purge_queue(QueueUrl=self._stack.outputs["DeliveriesQueue"])
