"""Check a download of a Chapek audit log, offline, trusting nobody but the verifier key you hold.

    python chapek_verify.py EXPORT.json --key VKEY_OR_FILE [--key ...] [--since OLDER_EXPORT.json] [--show] [--json]

Needs Python 3.9 or later and the package `cryptography`; asks no network. Exit code:
    0  verified: what the file shows is what was logged
    1  not verified: the evidence in the file does not hold; the class and the place are named
    2  not checked: the file or the key cannot be used (cut off, damaged, another log's key); says nothing of the log
    3  a fault of this program; says nothing of the log

Formats: C2SP signed-note and tlog-checkpoint, Merkle trees of RFC 6962 and RFC 9162 (SHA-256), RFC 8785 events.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import importlib.util
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORMAT = "chapek.audit.export/1"
VERIFIED, NOT_VERIFIED, NOT_CHECKED, PROGRAM_FAULT = "verified", "not-verified", "not-checked", "program-fault"
EXIT_CODES = {VERIFIED: 0, NOT_VERIFIED: 1, NOT_CHECKED: 2, PROGRAM_FAULT: 3}
MOST_NAMED = 20  # places named one by one; more are counted

NOT_PROVEN = [
    "that an event was truthful when it was logged; only that it was not changed or removed since",
    "that everything was logged that should have been; completeness of a part of a log rests on the signed statement",
    "that others were shown the same log: keep your exports and check newer ones against them with --since",
    "when a checkpoint was signed: times are the platform's own, without an outside witness or time stamp",
    "that the key is the platform's: get it by another way than the file it checks",
]

CLASSES = {
    # The file or the key cannot be used: nothing is said about the log.
    "file-unreadable": "The file cannot be read.",
    "file-truncated": "The file ends too early, as a broken-off download does. Download it again.",
    "file-malformed": "The file is no readable export: damaged on its way, or not an export at all. Download it again.",
    "unknown-format": "The file is of a version that this program does not know. Get the program that came with it.",
    "key-unreadable": "The key given is no verifier key line (name+id+base64) and no file that holds one.",
    "wrong-key": "Nothing here is signed by the key you gave. You may hold the key of another log or an older one; "
    "if you are sure of your key, somebody else signed this file.",
    # The evidence does not hold.
    "bad-signature": "The signature does not fit the text above it: text or signature were altered after signing.",
    "checkpoint-mismatch": "Checkpoint and statement speak of different states of the log: one of them was exchanged.",
    "leaf-altered": "The content of an event is not what was logged at its place.",
    "proof-mismatch": "The proof of an event does not lead to the signed root: the event, its place or its proof was "
    "altered, or it was never logged.",
    "event-order": "Events stand in other places than they were logged in.",
    "event-moved": "An event belongs to another log and was put into this one.",
    "event-missing": "Events that the platform signed for are missing from the file.",
    "event-added": "The file holds events that the platform's signed statement does not name.",
    "history-rewritten": "Two signed checkpoints contradict each other: the log was rewritten between them.",
    "consistency-mismatch": "The proof that the log extends an earlier checkpoint does not hold.",
    "log-shrunk": "The log is shorter than your earlier export shows: its end was cut off, or this file is older.",
}
UNUSABLE = {"file-unreadable", "file-truncated", "file-malformed", "unknown-format", "key-unreadable", "wrong-key"}


class Problem(Exception):
    """One named failure; ``where`` says in which part of the file."""

    def __init__(self, code: str, where: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.where = where

    def sentence(self) -> str:
        return CLASSES[self.code] + (f" [{self.where}]" if self.where else "")


@dataclass
class Report:
    """What was found; ``events`` only when all of it holds."""

    checked: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    fault: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        if self.fault:
            return PROGRAM_FAULT
        if any(problem.code not in UNUSABLE for problem in self.problems):
            return NOT_VERIFIED
        return NOT_CHECKED if self.problems else VERIFIED


# Merkle trees, RFC 6962 section 2.1 and RFC 9162 sections 2.1.3.2 and 2.1.4.2


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def tree_root(hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes: rows of pairs, an odd last one is carried up as it is."""
    row = list(hashes)
    if not row:
        return hashlib.sha256(b"").digest()
    while len(row) > 1:
        above = [node_hash(row[at], row[at + 1]) for at in range(0, len(row) - 1, 2)]
        row = [*above, row[-1]] if len(row) % 2 else above
    return row[0]


def root_from_inclusion(index: int, size: int, value: bytes, proof: Sequence[bytes]) -> bytes | None:
    """The root that an inclusion proof leads to; None when the proof has a wrong length."""
    if not 0 <= index < size:
        return None
    first, last, node = index, size - 1, value
    for sibling in proof:
        if last == 0:
            return None
        if first & 1 or first == last:
            node = node_hash(sibling, node)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        first, last = first >> 1, last >> 1
    return node if last == 0 else None


def consistent(first: int, second: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a proof shows that the tree of ``second`` leaves begins with the one of ``first``, ``0 < first``."""
    if first == second:
        return not proof and old_root == new_root
    path = list(proof)
    if not 0 < first < second or not path:
        return False
    if first & (first - 1) == 0:
        path.insert(0, old_root)
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = path[0]
    for node in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, node)
        at, last = at >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root


# Signed notes


@dataclass(frozen=True)
class Key:
    name: str
    key_id: bytes
    public: bytes

    @classmethod
    def parse(cls, line: str) -> Key:
        """Raises ValueError."""
        name, hint, encoded = line.strip().split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
        expected = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
        if not name or raw[:1] != b"\x01" or len(raw) != 33 or bytes.fromhex(hint) != expected:
            raise ValueError("no Ed25519 verifier key")
        return cls(name, expected, raw[1:])

    def signed(self, text: str, signature: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


def read_key(given: str) -> Key:
    """A verifier key from the command line, or from a file that holds one in its first line."""
    try:
        return Key.parse(given)
    except ValueError:
        pass
    try:
        return Key.parse((Path(given).read_text(encoding="utf-8").strip().splitlines() or [""])[0])
    except (OSError, ValueError):
        raise Problem("key-unreadable", given[:80]) from None


def open_note(note: Any, keys: Sequence[Key], where: str) -> tuple[str, Key]:
    """The text of a note and the key of ours that signed it."""
    if not isinstance(note, str) or "\n\n" not in note:
        raise Problem("file-malformed", where)
    text, _gap, tail = note.rpartition("\n\n")
    text += "\n"
    others = []
    for line in tail.splitlines():
        words = line.split(" ")
        if len(words) != 3 or words[0] != "\N{EM DASH}":
            raise Problem("file-malformed", where)
        try:
            raw = base64.b64decode(words[2], validate=True)
        except binascii.Error:
            raise Problem("file-malformed", where) from None
        for key in keys:
            if key.name == words[1] and key.key_id == raw[:4]:
                if not key.signed(text, raw[4:]):
                    raise Problem("bad-signature", where)
                return text, key
        others.append(f"{words[1]}+{raw[:4].hex()}")
    given = ", ".join(f"{key.name}+{key.key_id.hex()}" for key in keys)
    raise Problem("wrong-key", f"{where}: signed by {', '.join(others) or 'nobody'}; you gave {given}")


@dataclass(frozen=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes


def parse_checkpoint(text: str, key: Key, where: str) -> Checkpoint:
    lines = text.split("\n")
    if lines[0] != key.name:  # signed, yet no checkpoint of this log: another kind of note in its place
        raise Problem("checkpoint-mismatch", where)
    try:
        return Checkpoint(lines[0], int(lines[1]), _hash(lines[2], where))
    except (ValueError, IndexError):
        raise Problem("file-malformed", where) from None


@dataclass(frozen=True)
class Statement:
    checkpoint: Checkpoint
    at: str
    scope: str
    indexes: list[int]
    pending: int


def parse_statement(text: str, key: Key) -> Statement:
    where = "statement"
    lines = text.split("\n")
    if lines[0] != FORMAT or len(lines) < 9:
        raise Problem("checkpoint-mismatch" if lines[0] == key.name else "unknown-format", where)
    try:
        head = Checkpoint(lines[1], int(lines[2]), _hash(lines[3], where))
        facts = dict(line.split(" ", 1) for line in lines[4:8])
        indexes = _indexes(facts["indexes"], head.size)
        return Statement(head, facts["at"], facts["scope"], indexes, int(facts["pending"]))
    except (ValueError, KeyError):
        raise Problem("file-malformed", where) from None


def _indexes(text: str, size: int) -> list[int]:
    found: list[int] = []
    for span in [] if text == "-" else text.split(","):
        first, _dash, last = span.partition("-")
        if int(last or first) >= size:
            raise ValueError(span)
        found += range(int(first), int(last or first) + 1)
    return found


def _hash(text: Any, where: str) -> bytes:
    value = _bytes(text, where)
    if len(value) != 32:
        raise Problem("file-malformed", where)
    return value


def _bytes(text: Any, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, TypeError):
        raise Problem("file-malformed", where) from None


# The export


def load(path: str) -> dict[str, Any]:
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise Problem("file-unreadable", f"{path}: {error.strerror}") from None
    try:
        text = raw.decode("utf-8")
        export = json.loads(text)
    except UnicodeDecodeError as error:
        code = "file-truncated" if error.reason == "unexpected end of data" else "file-malformed"
        raise Problem(code, path) from None
    except (ValueError, RecursionError):
        raise Problem("file-truncated" if _cut_off(text) else "file-malformed", path) from None
    if not isinstance(export, dict) or "format" not in export:
        raise Problem("file-malformed", path)
    if export["format"] != FORMAT:
        raise Problem("unknown-format", f"{path}: {str(export['format'])[:60]}")
    return export


def _cut_off(text: str) -> bool:
    """Whether unreadable JSON is a beginning without its end."""
    if not text.lstrip().startswith("{"):
        return not text.strip()
    depth, inside, escaped = 0, False, False
    for char in text:
        if inside:
            inside = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            inside = True
        elif char in "{[":
            depth += 1
        elif char in "}]":
            depth -= 1
    return inside or depth > 0


@dataclass(frozen=True)
class Event:
    """``hash`` is that of the leaf in the file, ``stated`` the one that the file says it has."""

    index: int
    leaf: bytes
    hash: bytes
    stated: bytes
    proof: list[bytes] | None


def parse_events(export: dict[str, Any]) -> list[Event]:
    rows = export.get("events")
    if not isinstance(rows, list):
        raise Problem("file-malformed", "events")
    events = []
    for at, row in enumerate(rows):
        where = f"events[{at}]"
        if not isinstance(row, dict) or type(row.get("index")) is not int:
            raise Problem("file-malformed", where)
        proof = row.get("proof")
        if proof is not None and not isinstance(proof, list):
            raise Problem("file-malformed", where)
        hashes = None if proof is None else [_hash(value, where) for value in proof]
        leaf = _bytes(row.get("leaf"), where)
        events.append(Event(row["index"], leaf, leaf_hash(leaf), _hash(row.get("hash"), where), hashes))
    return events


def _named(indexes: Sequence[int]) -> str:
    shown = ", ".join(str(index) for index in indexes[:MOST_NAMED])
    return f"event {shown}" + (f" and {len(indexes) - MOST_NAMED} more" if len(indexes) > MOST_NAMED else "")


def _proven(value: bytes, index: int, proof: list[bytes] | None, head: Checkpoint) -> bool:
    return proof is not None and root_from_inclusion(index, head.size, value, proof) == head.root


def check_each(events: Sequence[Event], head: Checkpoint) -> list[Problem]:
    """Each event by its own proof; a failure is named by what explains it."""
    failed = [e for e in events if e.hash != e.stated or not _proven(e.hash, e.index, e.proof, head)]
    found: dict[str, list[int]] = {}
    for event in failed:
        others = [other for other in failed if other is not event][: 4 * MOST_NAMED]
        if _origin(event.leaf) not in {None, head.origin}:
            code = "event-moved"
        elif any(_proven(event.hash, o.index, proof, head) for o in others for proof in (o.proof, event.proof)):
            code = "event-order"
        elif _proven(event.stated, event.index, event.proof, head):
            code = "leaf-altered"
        else:
            code = "proof-mismatch"
        found.setdefault(code, []).append(event.index)
    return [Problem(code, _named(sorted(indexes))) for code, indexes in found.items()]


def check_whole(events: Sequence[Event], head: Checkpoint) -> list[Problem]:
    """A whole log without single proofs: all leaves together must lead to the root."""
    if tree_root([event.hash for event in events]) == head.root:
        return []
    moved = [event.index for event in events if _origin(event.leaf) not in {None, head.origin}]
    if moved:
        return [Problem("event-moved", _named(moved))]
    if tree_root([event.stated for event in events]) != head.root:
        return [Problem("proof-mismatch", "all events together")]
    stated = {event.stated for event in events}
    altered = [event for event in events if event.hash != event.stated]
    code = "event-order" if all(event.hash in stated for event in altered) else "leaf-altered"
    return [Problem(code, _named([event.index for event in altered]))]


def _origin(leaf: bytes) -> str | None:
    """The log that an event names; None when its bytes are no event any more."""
    try:
        return str(json.loads(leaf)["origin"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def check_completeness(events: Sequence[Event], statement: Statement) -> list[Problem]:
    present = Counter(event.index for event in events)
    named = set(statement.indexes)
    missing = sorted(named.difference(present))
    added = sorted(index for index, times in present.items() if index not in named or times > 1)
    problems: list[Problem] = []
    problems += [Problem("event-missing", _named(missing))] if missing else []
    problems += [Problem("event-added", _named(added))] if added else []
    if not problems and list(present) != sorted(present):
        problems.append(Problem("event-order", "the list is not in the order of the log"))
    if statement.scope == "*" and statement.indexes != list(range(statement.checkpoint.size)):
        gaps = sorted(set(range(statement.checkpoint.size)).difference(named))
        problems.append(Problem("event-missing", f"the platform itself left out {_named(gaps)} of the whole log"))
    return problems


def check_history(
    export: dict[str, Any], keys: Sequence[Key], head: Checkpoint, report: Report
) -> dict[int, list[bytes]]:
    """Earlier checkpoints that came along: signed, and extended by the present log. Returns the proofs by size."""
    rows = export.get("consistency", [])
    if not isinstance(rows, list):
        raise Problem("file-malformed", "consistency")
    held: dict[int, list[bytes]] = {}
    for at, row in enumerate(rows):
        where = f"consistency[{at}]"
        if not isinstance(row, dict) or not isinstance(row.get("proof"), list):
            raise Problem("file-malformed", where)
        proof = [_hash(value, where) for value in row["proof"]]
        try:
            text, key = open_note(row.get("checkpoint"), keys, where)
        except Problem as problem:
            if problem.code != "wrong-key":
                raise
            report.unchecked.append(f"an earlier checkpoint is signed by a key you did not give ({problem.where})")
            continue
        old = parse_checkpoint(text, key, where)
        if old.size == head.size and old.root != head.root:
            raise Problem("history-rewritten", f"two roots at {head.size} events")
        if not consistent(old.size, head.size, old.root, head.root, proof):
            raise Problem("consistency-mismatch", f"from {old.size} to {head.size} events")
        held[old.size] = proof
    if held:
        report.checked.append(f"the log only grew since {len(held)} earlier signed checkpoint(s) that came along")
    return held


def check_since(
    path: str, keys: Sequence[Key], head: Checkpoint, events: Sequence[Event], history: dict[int, list[bytes]]
) -> tuple[bool, str]:
    """An export that the reader kept must be the beginning of the present log. Returns (could be checked, what)."""
    text, key = open_note(load(path).get("checkpoint"), keys, f"{path}: checkpoint")
    old = parse_checkpoint(text, key, path)
    if old.size > head.size:
        raise Problem("log-shrunk", f"{old.size} events then, {head.size} now")
    if [event.index for event in events] == list(range(head.size)):
        same = tree_root([event.hash for event in events[: old.size]]) == old.root
    elif old.size == head.size:
        same = old.root == head.root
    elif old.size in history:
        same = consistent(old.size, head.size, old.root, head.root, history[old.size])
    else:
        return False, f"growth since {path}: no proof from {old.size} events here; ask for an export since {old.size}"
    if not same:
        raise Problem("history-rewritten", f"between {old.size} and {head.size} events")
    return True, f"the log only grew since your earlier export ({old.size} events then)"


def verify(path: str, given_keys: Sequence[str], since: str | None = None) -> Report:
    """All checks; what cannot go on because an earlier step failed is left out."""
    report = Report()
    try:
        _verify(path, given_keys, since, report)
    except Problem as problem:
        report.problems.append(problem)
    except Exception as error:  # noqa: BLE001 - a fault of ours must never pass for a finding about the log
        report.fault = f"{type(error).__name__}: {error}"
    return report


def _verify(path: str, given_keys: Sequence[str], since: str | None, report: Report) -> None:
    keys = [read_key(given) for given in given_keys]
    export = load(path)
    text, key = open_note(export.get("checkpoint"), keys, "checkpoint")
    head = parse_checkpoint(text, key, "checkpoint")
    report.checked.append(
        f"checkpoint of {head.origin}: {head.size} events, root {head.root.hex()}, signed by key {key.key_id.hex()}"
    )
    text, key = open_note(export.get("statement"), keys, "statement")
    statement = parse_statement(text, key)
    if statement.checkpoint != head:
        raise Problem("checkpoint-mismatch", "statement")
    scope = "the whole log" if statement.scope == "*" else f"everything about {statement.scope}"
    report.checked.append(f"statement of {statement.at}: {len(statement.indexes)} events are {scope}")
    if statement.pending:
        report.unchecked.append(f"{statement.pending} event(s) had been logged but not sealed when this was made")

    events = parse_events(export)
    report.problems += check_completeness(events, statement)
    if all(event.proof is not None for event in events):
        report.problems += check_each(events, head)
    elif statement.scope != "*":
        raise Problem("file-malformed", "events without proofs")
    elif not report.problems:
        report.problems += check_whole(events, head)
    foreign = [event.index for event in events if _origin(event.leaf) != head.origin]
    if foreign and not report.problems:
        report.problems.append(Problem("event-moved", _named(foreign)))
    if not report.problems:
        report.events = [{"index": event.index, **json.loads(event.leaf)} for event in events]
        report.checked.append(
            f"{len(events)} events are byte for byte what was logged, each at its place, none missing"
        )
    history = check_history(export, keys, head, report)
    if since is not None and not report.problems:
        done, what = check_since(since, keys, head, events, history)
        (report.checked if done else report.unchecked).append(what)


def _line(event: dict[str, Any]) -> str:
    who = event.get("actor", {}).get("ref")
    return f"{event['index']:>8}  {event.get('occurred_at')}  {event.get('kind')}  {event.get('subject')}  by {who}"


VERDICTS = {
    VERIFIED: "VERIFIED. What this file shows is what was logged.",
    NOT_VERIFIED: "NOT VERIFIED. The evidence in this file does not hold, for the reason named above. "
    "A file can be damaged on its way: get it once more before you draw conclusions.",
    NOT_CHECKED: "NOT CHECKED. The file or the key could not be used; nothing is said about the log.",
    PROGRAM_FAULT: "NOT CHECKED. This program failed; that is its own fault and says nothing about the log.",
}


def as_text(path: str, report: Report) -> str:
    out = [f"Chapek audit log: {path}", ""]
    out += [f"  checked      {line}" for line in report.checked]
    out += [f"  not checked  {line}" for line in report.unchecked]
    out += [f"  FAILED       {problem.code}: {problem.sentence()}" for problem in report.problems]
    out += [f"  FAULT        {report.fault}"] if report.fault else []
    out += ["", *map(_line, report.events)] if report.events else []
    out += ["", VERDICTS[report.outcome], "", "This does not prove:", *(f"  - {line}" for line in NOT_PROVEN)]
    return "\n".join("".join(char if char.isprintable() else "?" for char in line) for line in out)


def as_json(path: str, report: Report) -> str:
    facts = {
        "file": path,
        "outcome": report.outcome,
        "checked": report.checked,
        "not_checked": report.unchecked,
        "problems": [{"class": p.code, "where": p.where, "text": p.sentence()} for p in report.problems],
        "fault": report.fault,
        "events": report.events,
        "not_proven": NOT_PROVEN,
    }
    return json.dumps(facts, indent=2)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check a download of a Chapek audit log, offline.")
    parser.add_argument("export", help="the downloaded JSON file")
    parser.add_argument("--key", action="append", required=True, metavar="VKEY_OR_FILE", help="the log's verifier key")
    parser.add_argument(
        "--since", metavar="OLDER_EXPORT", help="an export you kept: the log must have only grown since"
    )
    parser.add_argument("--show", action="store_true", help="print the events once they are verified")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("cryptography") is None:
        sys.stderr.write("NOT CHECKED. The Python package `cryptography` is not installed.\n")
        return EXIT_CODES[NOT_CHECKED]
    report = verify(options.export, options.key, options.since)
    if not options.show or report.outcome != VERIFIED:
        report.events = []
    text = (as_json if options.json else as_text)(options.export, report) + "\n"
    try:
        sys.stdout.write(text.encode("ascii", "backslashreplace").decode())
        sys.stdout.flush()
    except OSError:  # nobody reads any more; Python's own exit code 1 would speak of the log
        return EXIT_CODES[PROGRAM_FAULT]
    return EXIT_CODES[report.outcome]


if __name__ == "__main__":
    sys.exit(main())
