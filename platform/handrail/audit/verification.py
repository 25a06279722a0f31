"""Checking chains of entries against their hashes, their heads and signed checkpoints. Pure.

Works on links from the database and on lines of an export alike; streams, and keeps only the last place of
each chain and what the installation's chain says about runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from handrail.audit.chain import GENESIS, INSTALLATION, is_link
from handrail.shared.jsonvalue import JsonValue

MOST_PROBLEMS = 100
"""After so many, the rest says nothing new."""
_WINDOW = 1000
"""How far around its place a moved entry's old place is looked for."""


@dataclass(frozen=True, slots=True)
class Link:
    """One entry with the two hashes that stand beside it; ``entry["n"]`` is its place in ``chain``."""

    chain: str
    entry: Mapping[str, JsonValue]
    previous_hash: str
    hash: str

    @property
    def n(self) -> int:
        """The place, from 1; 0 when the entry does not say."""
        n = self.entry.get("n")
        return n if isinstance(n, int) else 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chain ended at some time: ``n`` is 0 and ``hash`` is GENESIS for an empty one."""

    n: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it was written. ``kind`` is for programs, ``text`` for people."""

    chain: str
    n: int
    kind: str
    text: str


@dataclass(slots=True)
class Verdict:
    """What was checked, and what was found."""

    entries: int = 0
    chains: int = 0
    checkpoints: int = 0
    last: Place = field(default_factory=Place)
    problems: list[Problem] = field(default_factory=list)

    @property
    def intact(self) -> bool:
        """Whether nothing was found."""
        return not self.problems


class Verifier:
    """Feed the links of each chain in the order of their places; then ask for the verdict."""

    def __init__(self, checkpoints: Iterable[tuple[str, Place]] = ()) -> None:
        """``checkpoints``: (chain, place) of checkpoints whose signatures were checked already."""
        self._expected: dict[str, dict[int, set[str]]] = {}
        self._last: dict[str, Place] = {}
        self._finished: dict[str, Place] = {}
        self._met: set[str] = set()
        self._verdict = Verdict()
        for chain, place in checkpoints:
            self._expected.setdefault(chain, {}).setdefault(place.n, set()).add(place.hash)
            self._verdict.checkpoints += 1

    def feed(self, links: Iterable[Link]) -> None:
        """Check each link against the one before it in its chain."""
        for each in links:
            last = self._last.get(each.chain, Place())
            self._verdict.entries += 1
            if len(self._verdict.problems) < MOST_PROBLEMS:
                self._verdict.problems.extend(_problems_of(each, last))
                self._verdict.problems.extend(self._against_checkpoint(each))
            if self._finished.get(each.chain) == Place(each.n, each.hash):
                self._met.add(each.chain)
            self._last[each.chain] = Place(each.n, each.hash)
            if each.chain == INSTALLATION:
                self._remember_run(each.entry)

    def conclude(
        self, heads: Mapping[str, Place] | None = None, later: Mapping[str, Place] | None = None
    ) -> Verdict:
        """The verdict, after all links.

        ``heads``: where each chain should end, as its head row said before the links were read; ``later``:
        the same afterwards, when others were writing meanwhile.
        """
        verdict = self._verdict
        found: list[Problem] = []
        before = heads or {}
        for chain in {**before, **(later or {})}:
            last = self._last.get(chain, Place())
            earliest = before.get(chain, Place())
            latest = (later or before).get(chain, earliest)
            if last.n <= earliest.n or last.n >= latest.n:
                found.extend(_against_head(chain, earliest if last.n <= earliest.n else latest, last))
        for chain, places in self._expected.items():
            found.extend(self._beyond_the_end(chain, places))
        found.extend(self._not_met(chain) for chain in sorted(self._finished.keys() - self._met))
        verdict.problems = (verdict.problems + found)[:MOST_PROBLEMS]
        verdict.chains = len(self._last)
        verdict.last = self._last.get(INSTALLATION, Place())
        return verdict

    def _against_checkpoint(self, each: Link) -> Iterator[Problem]:
        hashes = self._expected.get(each.chain, {}).get(each.n)
        if hashes is not None and hashes != {each.hash}:
            yield Problem(
                each.chain,
                each.n,
                "rewritten",
                f"entry {each.n} is not the one that was there when its checkpoint was signed: "
                f"the chain was rewritten at entry {each.n} or before, or an old backup was restored",
            )

    def _beyond_the_end(self, chain: str, places: Mapping[int, set[str]]) -> Iterator[Problem]:
        last = self._last.get(chain, Place())
        beyond = [n for n in places if n > last.n]
        if beyond:
            yield Problem(
                chain,
                last.n + 1,
                "truncated",
                f"a signed checkpoint says that there were {max(beyond)} entries, but the last is {last.n}: "
                f"entries {last.n + 1} to {max(beyond)} were cut off, or an old backup was restored",
            )

    def _not_met(self, chain: str) -> Problem:
        """The installation's chain names an entry of a finished run that the run's own chain has not."""
        place, last = self._finished[chain], self._last.get(chain, Place())
        what = (
            f"it ends at entry {last.n}: the end was cut off, or the run was deleted"
            if last.n < place.n
            else f"entry {place.n} is another one: the run's history was rewritten"
        )
        text = f"the installation's trail says that this run's history ended with entry {place.n}, but {what}"
        return Problem(chain, min(last.n + 1, place.n), "run", text)

    def _remember_run(self, entry: Mapping[str, JsonValue]) -> None:
        data = entry.get("data")
        if entry.get("action") != "run.finished" or not isinstance(data, Mapping):
            return
        n, digest = data.get("history_n"), data.get("history_hash")
        if isinstance(n, int) and isinstance(digest, str):
            self._finished[f"run:{entry.get('object_id')}"] = Place(n, digest)


def _problems_of(each: Link, last: Place) -> Iterator[Problem]:
    if each.n > last.n + 1:
        first, until = last.n + 1, each.n - 1
        gone = f"entry {first} is" if first == until else f"entries {first} to {until} are"
        yield Problem(each.chain, first, "deleted", f"{gone} missing")
    elif each.n <= last.n:
        yield Problem(
            each.chain,
            each.n,
            "inserted",
            f"entry {each.n} stands after entry {last.n}: inserted or reordered",
        )
    if not _names_its_chain(each):
        yield Problem(
            each.chain, each.n, "inserted", f"entry {each.n} is none of this chain: it was put there"
        )
    if not is_link(each.hash, each.previous_hash, each.entry):
        was = _written_as(each)
        if was:
            text = f"entry {each.n} was written as entry {was}: the order was changed"
            yield Problem(each.chain, each.n, "reordered", text)
        else:
            text = f"entry {each.n} is not as it was written: it was changed or put there afterwards"
            yield Problem(each.chain, each.n, "edited", text)
    elif each.n == last.n + 1 and each.previous_hash != last.hash:
        yield Problem(
            each.chain,
            each.n,
            "forged",
            f"entry {each.n} does not follow entry {last.n} as it stands: one of the two was replaced or inserted",
        )


def _names_its_chain(each: Link) -> bool:
    """The installation's entries say ``chain``, those of a run say ``run``; there are no other chains."""
    if each.chain == INSTALLATION:
        return each.entry.get("chain") == INSTALLATION
    return "chain" not in each.entry and each.chain == f"run:{each.entry.get('run')}"


def _written_as(each: Link) -> int:
    """The place under which this very entry was hashed, or 0."""
    for n in range(max(1, each.n - _WINDOW), each.n + _WINDOW):
        if n != each.n and is_link(each.hash, each.previous_hash, {**each.entry, "n": n}):
            return n
    return 0


def _against_head(chain: str, head: Place, last: Place) -> Iterator[Problem]:
    if last.n < head.n:
        yield Problem(
            chain,
            last.n + 1,
            "truncated",
            f"the head says that there are {head.n} entries, but the last is {last.n}: the end was cut off",
        )
    elif last.n > head.n:
        yield Problem(
            chain, head.n + 1, "inserted", f"entries {head.n + 1} to {last.n} stand after the head: inserted"
        )
    elif last.hash != head.hash:
        yield Problem(chain, last.n, "forged", f"entry {last.n} is not the one that the head names: replaced")
