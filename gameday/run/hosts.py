"""The hosts of a run, for the conductor: who has joined, what they carry, and the end of their part.

It promises that each file which a host is going to write is listed with that host beforehand; that nothing begins
before all hosts are there; and that what becomes of a host or of a sending process on it is told in the history.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gameday.history.errors import ProcessError, RunError
from gameday.history.writer import Writer
from gameday.processes.child import Child, Report, ending
from gameday.processes.remote import UNKNOWN_CODE, Host, HostGone, RemoteChild
from gameday.run.gathering import Shelf, absent
from gameday.run.state import HASTE_S, Run
from gameday.scenario.hosts import Hosts

# How long it may take to bring in what hosts have recorded.
_GATHER_S = 900.0


class JoinedHosts:
    """`lead` is Locust's master, which carries the letters."""

    def __init__(self, asked: Hosts, run: Run, lead: Child) -> None:
        self.asked = asked
        self._run = run
        self._lead = lead
        self._letters: asyncio.Queue[Report] = asyncio.Queue()
        self._senders: dict[str, RemoteChild] = {}
        self._over = False
        self._hosts = {
            host.name: Host(host.name, run=run.context.id, send=self._send, patience_s=asked.patience_s, note=run.note)
            for host in asked.hosts
        }

    def slots(self, subscription: str) -> dict[str, Host]:
        """By slot, the host of each consumer."""
        names = self.asked.slots(self._run.scenario.consumers.count)
        return {f"{subscription}-{number}": self._hosts[name] for number, name in enumerate(names, start=1)}

    def hear(self, report: Report) -> None:
        """What the lead reports: a letter, or a sending process that is lost."""
        if report.get("report") == "letter":
            self._letters.put_nowait(report)
        elif report.get("report") == "lost":
            self._note_lost(report["writer"])

    def open(self, writer: Writer) -> None:
        """Before any of them is there: they are listed, and welcome."""
        for name, host in self._hosts.items():
            writer.announce_on(name, f"host-{name}")
            host.say(
                {
                    "do": "welcome",
                    "run": self._run.context.id,
                    "patience_s": self.asked.patience_s,
                    "history": self.asked.history,
                    "endpoint": asdict(self._run.target.endpoint),
                }
            )
        self._run.watch_over(self._receive(), "letters of the hosts")
        self._run.watch_over(self._watch_lead(), "the watch over the load")
        for host in self._hosts.values():
            self._run.watch_over(host.live(), f"letters to {host.name}")

    async def all_joined(self) -> None:
        """Errors: RunError when they do not come."""
        where = f"{self.asked.address}:{self.asked.port}"
        joining = [asyncio.create_task(host.joined()) for host in self._hosts.values()]
        self._run.view.phase(f"waiting for hosts {', '.join(self._hosts)} at {where}")
        try:
            async with asyncio.timeout(self.asked.join_s):
                await asyncio.gather(*joining)
        except TimeoutError:
            missing = [name for name, host in self._hosts.items() if not host.is_there]
            raise RunError(
                f"{', '.join(missing)} did not join within {self.asked.join_s:g} s; start `gameday host --master "
                f"{where} --name {missing[0] if missing else 'NAME'}` there"
            ) from None
        finally:
            for task in joining:
                task.cancel()

    async def start_senders(self) -> None:
        """Errors: ProcessError."""
        for name, host in self.asked.senders(self._run.scenario.load.processes).items():
            await self._hosts[host].create(name)
            self._run.writer.announce_on(host, name)
            self._senders[name] = await self._hosts[host].start(name, "load")
            self._run.watch_over(self._watch_sender(self._senders[name]), f"the watch over {name}")

    async def gather(self) -> None:
        """The end of their part: what they have recorded comes here if they ship it, or the run tells where it is."""
        self._over = True
        place = self.asked.history
        try:
            async with asyncio.timeout(_GATHER_S):
                ends = await asyncio.gather(*map(self._finished, self._hosts.values()))
        except TimeoutError:
            ends = []
            self._run.note(f"not all hosts have shipped what they recorded within {_GATHER_S:g} s")
        for failed in filter(None, ends):
            self._run.note(failed)
        missing = absent(self._run.context.directory)
        if place is not None:
            shelf = Shelf(place, run=self._run.context.id, endpoint=self._run.target.endpoint)
            try:
                missing = dict(await asyncio.to_thread(shelf.take, self._run.context.directory))
            except RunError as error:
                self._run.note(str(error))
                missing = absent(self._run.context.directory)
        for name in dict.fromkeys(missing.values()):
            files = [file for file, host in missing.items() if host == name]
            self._run.note(
                f"host {name}: {len(files)} of its history files are not here ({', '.join(files[:3])}"
                f"{', …' if len(files) > 3 else ''}). They stand on its disk, in {self._hosts[name].directory}: copy "
                f"that here, and add them with `gameday collect RUN DIR`. Until then the history is damaged"
            )
        await self.leave()

    async def leave(self) -> None:
        self._over = True
        await asyncio.gather(*(host.leave(HASTE_S) for host in self._hosts.values()))

    async def _finished(self, host: Host) -> str | None:
        """Why not all that it has recorded was shipped."""
        try:
            return await host.finished()
        except HostGone:
            return None  # told when it went

    async def _send(self, node: str, letter: Mapping[str, Any]) -> None:
        await self._lead.command("letter", node=node, letter=letter)

    async def _receive(self) -> None:
        while True:
            report = await self._letters.get()
            letter = report["letter"]
            host = self._hosts.get(letter.get("host", ""))
            try:
                if host is not None:
                    await host.hear(report["node"], letter)
                else:
                    known = ", ".join(self._hosts)
                    refused = f"no host of this run is called {letter.get('host')!r}; they are {known}"
                    await self._send(report["node"], {"heard": 0, "says": [], "refused": refused})
            except (KeyError, TypeError, ValueError) as error:
                self._run.view.note(f"a letter of {letter.get('host')} cannot be read, and is left alone: {error!r}")

    async def _watch_lead(self) -> None:
        """Errors: ProcessError."""
        code = await self._lead.wait()
        if not self._over:
            why = self._run.load_failure or self._lead.last_words()
            raise ProcessError(f"the load (Locust), which the hosts have joined, died ({ending(code)}): {why}")

    async def _watch_sender(self, sender: RemoteChild) -> None:
        """Errors: ProcessError where the load has not begun."""
        code = await sender.wait()
        if not self._over:
            await self._lead.command("lost", writer=sender.name)
        if not hasattr(self._run, "start_ns"):
            raise ProcessError(f"{sender.name} ended ({_ended(code)}) before the load: {sender.last_words()}")

    def _note_lost(self, name: str) -> None:
        sender = self._senders.get(name)
        how = "nothing was heard of it" if sender is None or sender.returncode is None else _ended(sender.returncode)
        self._run.note(
            f"the sending process {name} was lost while the load ran ({how}): what it had to send, and has not told "
            "of, counts as missed"
        )


def _ended(code: int) -> str:
    return "with its host" if code == UNKNOWN_CODE else ending(code)
