"""How values are written: money, prices, durations, instants, memory, states; and the small texts around them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils.safestring import SafeString

from accounts.states import TenantState
from billing.states import InvoiceState
from common.money import Money
from inventory.states import NodeState
from portal.icons import ICONS
from portal.prose import render
from portal.templatetags import chapek as shown
from portal.tones import FACES, face
from portal.words import decision_in_words
from provisioning.states import JobState
from reservations.states import QuoteState, ReservationState

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
AT = datetime(2026, 11, 5, 14, 32, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Money(Decimal("1234.505")), "€1,234.51"),
        (Decimal("-0.5"), f"{MINUS}€0.50"),
        (Decimal("-0.001"), "€0.00"),
        (0, "€0.00"),
        ("7.1", "€7.10"),
        (Money(Decimal(3), "CHF"), "CHF 3.00"),
        (None, DASH),
    ],
)
def test_money_is_grouped_and_rounded_half_up(value, text) -> None:
    assert shown.money(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("2.9", "€2.90"), ("2.725", "€2.725"), ("0.1234567", "€0.123457"), ("40", "€40.00"), (None, DASH)],
)
def test_a_price_shows_as_many_places_as_it_has(value, text) -> None:
    assert shown.rate(None if value is None else Decimal(value)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min 00 s"),
        (3661, "1 h 01 min"),
        (86_400, "1 d 0 h"),
        (-5, "0 s"),
        (None, DASH),
    ],
)
def test_a_duration_shows_its_two_largest_units(seconds, text) -> None:
    assert shown.duration(seconds) == text


def test_an_instant_is_utc_and_machine_readable() -> None:
    local = AT.astimezone().replace(microsecond=5)
    assert shown.instant(local) == '<time datetime="2026-11-05T14:32:07Z">2026-11-05 14:32 UTC</time>'
    assert "14:32:07 UTC" in shown.instant(AT, "s")
    assert shown.instant(AT, "m").endswith("14:32</time>")
    assert shown.instant(None) == DASH


def test_distance_in_time_looks_both_ways() -> None:
    assert shown.until(AT + timedelta(minutes=3), AT) == "in 3 min 00 s"
    assert shown.until(AT - timedelta(seconds=12), AT) == "12 s ago"
    assert shown.until(AT, AT) == "just now"
    assert shown.until(None, AT) == ""


@pytest.mark.parametrize(("value", "text"), [(141, "141 GiB"), (1128, "1.1 TiB"), (2048, "2 TiB"), (None, DASH)])
def test_memory_turns_to_tebibytes_from_1024_on(value, text) -> None:
    assert shown.gib(value) == text


def test_stock_cells_say_the_same_in_words() -> None:
    drawn = shown.cells(3, 14)
    assert drawn.count('class="free"') == 3
    assert drawn.count('class="taken"') == 11
    assert 'aria-label="3 of 14 nodes free"' in drawn


@pytest.mark.parametrize(
    ("kind", "states"),
    [
        ("reservation", ReservationState),
        ("node", NodeState),
        ("quote", QuoteState),
        ("invoice", InvoiceState),
        ("job", JobState),
        ("tenant", TenantState),
    ],
)
def test_every_state_has_a_word_a_tone_and_a_mark(kind, states) -> None:
    assert set(FACES[kind]) == set(states.values)


def test_states_that_look_alike_in_colour_differ_in_word() -> None:
    for states in FACES.values():
        words = [str(one.word) for one in states.values()]
        assert len(words) == len(set(words))
        assert all(one.icon in ICONS for one in states.values())


def test_a_state_of_tomorrow_is_shown_by_its_name() -> None:
    assert face("reservation", "on_hold").word == "on hold"


def test_a_legal_text_is_escaped_before_it_is_dressed() -> None:
    page = render("# Title\n\n## 1. A <b>\nOne **bold**\nline.\n\n1. first\n   goes on\n2. <script>\n\n- dash")
    assert page == (
        "<h2>1. A &lt;b&gt;</h2>\n<p>One <strong>bold</strong> line.</p>\n"
        "<ol><li>first goes on</li><li>&lt;script&gt;</li></ol>\n<ul><li>dash</li></ul>"
    )
    assert isinstance(page, SafeString)


def test_a_decision_leaves_out_what_was_not_asked_for() -> None:
    told = decision_in_words(
        {
            "policy": "p/1",
            "chosen": {"site": "kladno", "node_type": "h200-8", "nodes": ["nod_1"], "fabric": "ib-1"},
            "runners_up": [{"site": "warsaw", "node_type": "h200-8", "eur_per_hour": "24.5"}],
            "ruled_out": [
                {"site": "a", "node_type": "b300-8", "constraint": "node_type", "reason": "h200-8 was asked for"},
                {"site": "b", "node_type": "h200-8", "constraint": "stock", "reason": "0 free, 1 needed"},
            ],
        }
    )
    assert told.fabric == "ib-1"
    assert told.runners_up[0].eur_per_hour == Decimal("24.5")
    assert [item.reason for item in told.ruled_out] == ["not enough free nodes: 0 free, 1 needed"]
    assert told.others_unasked == 1
