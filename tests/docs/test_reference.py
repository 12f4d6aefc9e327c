"""docs/reference is what the program says of itself, and every page's links lead somewhere."""

from pathlib import Path

import pytest

from common import outbox
from common.errors import DomainError
from config.management.commands import _facts, _pages
from embedded.docs_links import broken_links
from provisioning.errors import StepFailed

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"


@pytest.mark.parametrize("name", sorted(_pages.PAGES))
def test_the_page_is_up_to_date(name: str) -> None:
    assert (REFERENCE / name).read_text() == _pages.render()[name], "run manage.py reference_docs"


def test_nothing_else_lies_there() -> None:
    assert {path.name for path in REFERENCE.iterdir()} == set(_pages.PAGES)


def test_every_state_and_every_event_that_is_fired_has_a_sentence() -> None:
    for item in _facts.machines():
        machine = item.machine
        for choice in [*machine.states, *machine.events]:
            assert str(choice.label).strip(), f"{machine.name}.{choice.value}"
        assert {event for _state, event in machine.table} == set(machine.events.values), machine.name


def test_every_state_machine_begins_somewhere() -> None:
    assert {item.machine.name: len(_facts.first_states(item.machine)) for item in _facts.machines()} == {
        item.machine.name: 1 for item in _facts.machines()
    }


def test_whatever_is_listened_to_is_published_by_somebody() -> None:
    assert sorted(_facts.heard_kinds() - {event.kind for event in _facts.published()}) == []


def test_the_payload_of_every_event_is_known() -> None:
    assert [event.kind for event in _facts.published() if "..." in event.payload] == []


def test_handlers_are_named_as_they_are_wired() -> None:
    assert "reservations.on_node_deployed" in _facts.listeners("node.deployed")
    assert set(outbox._handlers) >= {"node.deployed"}


def test_one_code_means_one_answer() -> None:
    """A client decides on the code: wherever it is raised, the status and whose turn it is are the same.

    Failures of a job's step are no answers: they are read at the job.
    """
    answers: dict[str, set[tuple[int, str]]] = {}
    for error in [error for error in _facts.errors() if not issubclass(error, StepFailed)]:
        answers.setdefault(error.code, set()).add((error.status, str(error.fault)))
    assert {code: found for code, found in answers.items() if len(found) > 1} == {}


def test_every_error_says_what_it_means() -> None:
    undescribed = [error.__qualname__ for error in _facts.errors() if "__doc__" not in vars(error) or not error.__doc__]
    assert undescribed == []


def test_no_error_keeps_the_code_of_its_base() -> None:
    inherited = [error.__qualname__ for error in _facts.errors() if error.code == DomainError.code]
    assert inherited == []


def test_links_in_the_documentation_lead_somewhere() -> None:
    assert broken_links(ROOT, among=[ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")]) == []
