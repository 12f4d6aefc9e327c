"""What templates need to show values exactly: money, durations, instants, states, icons, fields."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from urllib.parse import urlencode

from django import forms, template
from django.utils.formats import number_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from common.money import Money
from portal.icons import ICONS
from portal.prose import render
from portal.tones import face

register = template.Library()
DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
_SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "CZK": "Kč"}
_CELL, _PITCH, _CELLS_A_ROW = 8, 10, 25


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """An icon; without ``label`` it is decoration and hidden from screen readers."""
    spoken = format_html('role="img" aria-label="{}"', label) if label else SafeString('aria-hidden="true"')
    return format_html('<svg class="icon" viewBox="0 0 16 16" {}><path d="{}"/></svg>', spoken, ICONS[name])


@register.simple_tag
def state(kind: str, value: str) -> SafeString:
    """A state's badge: mark, word, colour."""
    shown = face(kind, str(value))
    return format_html('<span class="state {}">{}{}</span>', shown.tone, icon(shown.icon), shown.word)


def _amount(value: Money | Decimal | int | str | None) -> tuple[Decimal, str] | None:
    if value is None or value == "":
        return None
    if isinstance(value, Money):
        return value.amount, value.currency
    return Decimal(value), "EUR"


@register.filter
def money(value: Money | Decimal | int | str | None, places: int = 2) -> str:
    """``1,234.50`` with its currency's sign, rounded half up; a dash when there is no amount."""
    pair = _amount(value)
    if pair is None:
        return DASH
    amount, currency = pair
    quantum = Decimal(1).scaleb(-int(places))
    rounded = amount.quantize(quantum, rounding=ROUND_HALF_UP)
    text = number_format(abs(rounded), int(places), use_l10n=True, force_grouping=True)
    sign = MINUS if rounded < 0 else ""
    return f"{sign}{_SYMBOLS.get(currency, currency + ' ')}{text}"


@register.filter
def rate(value: Decimal | str | None) -> str:
    """A price per hour: two decimals, or as many as it has when it has more (six at most)."""
    if value is None or value == "":
        return DASH
    exponent = Decimal(value).normalize().as_tuple().exponent
    return money(Decimal(value), min(max(2, -int(exponent)), 6))


@register.filter
def duration(value: timedelta | int | Decimal | None) -> str:
    """``2 d 3 h``, ``3 h 05 min``, ``4 min 09 s``, ``12 s``: the two largest units."""
    if value is None:
        return DASH
    seconds = int(value.total_seconds()) if isinstance(value, timedelta) else int(value)
    minutes, s = divmod(max(seconds, 0), 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    if days:
        return _("%(days)d d %(hours)d h") % {"days": days, "hours": h}
    if hours:
        return _("%(hours)d h %(minutes)02d min") % {"hours": hours, "minutes": m}
    if minutes:
        return _("%(minutes)d min %(seconds)02d s") % {"minutes": minutes, "seconds": s}
    return _("%(seconds)d s") % {"seconds": s}


@register.filter
def instant(value: datetime | None, form: str = "") -> SafeString | str:
    """``2026-11-05 14:32 UTC`` as a ``<time>``; "s" to the second, "m" to the minute where the column says UTC."""
    if value is None:
        return DASH
    utc = value.astimezone(UTC)
    shown = utc.strftime("%Y-%m-%d %H:%M:%S" if form == "s" else "%Y-%m-%d %H:%M")
    zone = "" if form == "m" else " UTC"
    return format_html('<time datetime="{}">{}{}</time>', utc.strftime("%Y-%m-%dT%H:%M:%SZ"), shown, zone)


@register.filter
def clock(value: datetime) -> SafeString:
    """Only the time of day, for things of today."""
    utc = value.astimezone(UTC)
    return format_html(
        '<time datetime="{}">{} UTC</time>', utc.strftime("%Y-%m-%dT%H:%M:%SZ"), utc.strftime("%H:%M:%S")
    )


@register.filter
def until(value: datetime | None, now: datetime) -> str:
    """``in 3 h 05 min`` or ``12 s ago``, as seen at ``now``."""
    if value is None:
        return ""
    delta = value - now
    if abs(delta.total_seconds()) < 1:
        return _("just now")
    if delta.total_seconds() >= 0:
        return _("in %(time)s") % {"time": duration(delta)}
    return _("%(time)s ago") % {"time": duration(-delta)}


@register.filter
def gib(value: int | None) -> str:
    """Memory or disk: GiB, or TiB from 1024 GiB on."""
    if value is None:
        return DASH
    if value < 1024:
        return f"{number_format(value, 0, use_l10n=True, force_grouping=True)} GiB"
    tib = Decimal(value) / 1024
    return f"{number_format(tib, 0 if tib == tib.to_integral_value() else 1, use_l10n=True, force_grouping=True)} TiB"


@register.filter
def lines(values: Iterable[object]) -> str:
    """One value a line."""
    return "\n".join(map(str, values))


@register.filter
def prose(value: str) -> SafeString:
    """A legal text with its headings and lists."""
    return render(value)


@register.filter
def whole(value: float | None) -> str:
    """A whole number with thousands grouped."""
    if value is None:
        return DASH
    return str(number_format(value, 0, use_l10n=True, force_grouping=True))


@register.simple_tag
def cells(free: int, total: int) -> SafeString:
    """One square a node, filled when it is free. Says the same in words to those who do not see it."""
    shown = min(total, 200)
    columns = min(max(shown, 1), _CELLS_A_ROW)
    rows = -(-max(shown, 1) // columns)
    squares = format_html_join(
        "",
        '<rect class="{}" x="{}" y="{}" width="8" height="8" rx="1.5"/>',
        (
            ("free" if index < free else "taken", index % columns * _PITCH, index // columns * _PITCH)
            for index in range(shown)
        ),
    )
    label = ngettext("%(free)d of %(total)d node free", "%(free)d of %(total)d nodes free", total) % {
        "free": free,
        "total": total,
    }
    width, height = columns * _PITCH - 2, rows * _PITCH - 2
    return format_html(
        '<svg class="cells" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">{}</svg>',
        width, height, width, height, label, squares,
    )  # fmt: skip


@register.inclusion_tag("portal/parts/field.html")
def field(
    bound: forms.BoundField, label: str = "", *, needed: bool = False, placeholder: bool = True
) -> dict[str, Any]:
    """A form's field with label, hint and errors tied to it. ``needed``: not optional wherever it is shown."""
    widget = bound.field.widget
    if not placeholder:
        widget.attrs.pop("placeholder", None)
    described = [f"{bound.auto_id}_hint"] if bound.help_text else []
    if bound.errors:
        described.append(f"{bound.auto_id}_error")
        widget.attrs["aria-invalid"] = "true"
    if described:
        widget.attrs["aria-describedby"] = " ".join(described)
    kind = "check" if isinstance(widget, forms.CheckboxInput) else "plain"
    if isinstance(widget, forms.RadioSelect | forms.CheckboxSelectMultiple):
        kind = "group"
    return {"field": bound, "kind": kind, "label": label or bound.label, "needed": needed or bound.field.required}


@register.inclusion_tag("portal/parts/copy.html")
def copyable(text: str, label: str, name: str = "") -> dict[str, str]:
    """A block of text to be copied whole; ``label`` says what it is."""
    return {"text": text, "label": label, "name": name}


@register.simple_tag(takes_context=True)
def here(context: dict[str, Any], **changes: str | None) -> str:
    """The present query string with ``changes`` applied; None takes a name out."""
    query = context["request"].GET.dict()
    query.update({name: value for name, value in changes.items() if value is not None})
    for name in [name for name, value in changes.items() if value is None]:
        query.pop(name, None)
    return f"?{urlencode(query)}" if query else context["request"].path
