"""What the reserve page asks. The rules are the rooms'; here is only what a form must know to be filled in."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from common.errors import DomainError
from placement.model import WorkloadClass
from portal.base import said
from reservations.requests import USER_DATA_LIMIT_BYTES, Access, QuoteRequest

Choices = list[tuple[str, str]]
CLASSES = (
    (WorkloadClass.GENERAL, _("Not said")),
    (WorkloadClass.TRAINING, _("Training")),
    (WorkloadClass.FINE_TUNING, _("Fine-tuning")),
    (WorkloadClass.INFERENCE, _("Inference")),
    (WorkloadClass.PREFILL, _("Inference: prefill")),
    (WorkloadClass.DECODE, _("Inference: decode")),
    (WorkloadClass.BATCH, _("Batch")),
)
BY_TYPE, BY_WORKLOAD = "type", "workload"
NOW, LATER = "now", "later"
OPEN, FIXED = "open", "fixed"
# The names of the domain's refusals beside the names of these fields.
FIELD_OF = {"ssh_keys": "ssh_keys", "image": "image", "project": None}


class UtcDateTimeField(forms.DateTimeField):
    """The browser's own date and time picker; what is entered is UTC, as everything on these pages."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local", "step": "60"}, format="%Y-%m-%dT%H:%M")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"], **kwargs)

    def to_python(self, value: Any) -> datetime | None:
        parsed = super().to_python(value)
        return parsed.replace(tzinfo=UTC) if parsed is not None else None


class DomainForm(forms.Form):
    """A form beside whose fields a room's refusal can be shown."""

    def add_domain_error(self, error: DomainError) -> None:
        name = str(error.context.get("field") or "")
        field = FIELD_OF.get(name, name)
        self.add_error(field if field in self.fields else None, said(error))


class WhatForm(DomainForm):
    """Step one and two: what, where and when. ``request()`` after ``is_valid()``."""

    choose_by = forms.ChoiceField(
        label=_("Choose by"),
        choices=[(BY_TYPE, _("Node type")), (BY_WORKLOAD, _("Workload"))],
        initial=BY_TYPE,
        widget=forms.RadioSelect,
    )
    node_type = forms.ChoiceField(label=_("Node type"), required=False, widget=forms.RadioSelect)
    workload_class = forms.ChoiceField(
        label=_("What for"), choices=CLASSES, required=False, help_text=_("Helps placement and the evidence you keep.")
    )
    gpu_memory_gib = forms.IntegerField(
        label=_("GPU memory needed on a node, GiB"),
        required=False,
        min_value=1,
        max_value=100_000,
        help_text=_("All GPUs of the node together: weights, cache and working space."),
    )
    node_count = forms.IntegerField(label=_("Nodes"), min_value=1, max_value=1000, initial=1)
    site = forms.ChoiceField(label=_("Site"), required=False)
    start = forms.ChoiceField(
        label=_("Start"), choices=[(NOW, _("Now")), (LATER, _("Later"))], initial=NOW, widget=forms.RadioSelect
    )
    starts_at = UtcDateTimeField(label=_("Starts at, UTC"), required=False)
    end = forms.ChoiceField(
        label=_("End"),
        choices=[(OPEN, _("On release")), (FIXED, _("At a time"))],
        initial=OPEN,
        widget=forms.RadioSelect,
    )
    ends_at = UtcDateTimeField(label=_("Ends at, UTC"), required=False)
    max_spend = forms.DecimalField(
        label=_("Cap, net euros"),
        required=False,
        min_value=Decimal("0.01"),
        max_digits=12,
        decimal_places=2,
        help_text=_("The reservation ends by itself when this much is used. Empty: your balance is the cap."),
    )

    def __init__(
        self, *args: Any, node_types: list[tuple[str, str]], sites: list[tuple[str, str]], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._choose("node_type", list(node_types))
        self._choose("site", [("", _("Best: cheapest that fits")), *sites])
        self.fields["max_spend"].widget.attrs["inputmode"] = "decimal"

    def _choose(self, name: str, choices: list[tuple[str, Any]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - declared as such above
        field.choices = choices

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        for question, answer, field, text in (
            ("choose_by", BY_TYPE, "node_type", _("Choose a node type.")),
            ("choose_by", BY_WORKLOAD, "gpu_memory_gib", _("Say how much GPU memory a node must have.")),
            ("start", LATER, "starts_at", _("Say when it is to start.")),
            ("end", FIXED, "ends_at", _("Say when it is to end.")),
        ):
            if data.get(question) == answer and not data.get(field) and field not in self.errors:
                self.add_error(field, text)
        return data

    def request(self) -> QuoteRequest:
        data = self.cleaned_data
        by_type = data["choose_by"] == BY_TYPE
        return QuoteRequest(
            node_count=data["node_count"],
            node_type=data["node_type"] if by_type else None,
            gpu_memory_gib=None if by_type else data["gpu_memory_gib"],
            workload_class=data["workload_class"] or WorkloadClass.GENERAL,
            site=data["site"] or None,
            starts_at=data["starts_at"] if data["start"] == LATER else None,
            ends_at=data["ends_at"] if data["end"] == FIXED else None,
            max_spend=data["max_spend"],
        )


class AccessForm(DomainForm):
    """Step three: how to get in. ``access()`` after ``is_valid()``."""

    name = forms.CharField(
        label=_("Name"),
        max_length=63,
        help_text=_("Also the host name: lower-case letters, digits and hyphens."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}),
    )
    image = forms.ChoiceField(label=_("Image"))
    ssh_keys = forms.MultipleChoiceField(
        label=_("SSH keys"),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Choose at least one SSH key; there is no other way in.")},
    )
    user_data = forms.CharField(
        label=_("User data"),
        required=False,
        max_length=USER_DATA_LIMIT_BYTES,
        strip=False,
        help_text=_("cloud-init, at most 64 KiB. Encrypted at rest and never shown again."),
        widget=forms.Textarea(attrs={"rows": 6, "class": "mono", "spellcheck": "false", "autocapitalize": "off"}),
    )

    def __init__(
        self, *args: Any, images: list[tuple[str, str]], ssh_keys: list[tuple[str, str]], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        for name, choices in (("image", images), ("ssh_keys", ssh_keys)):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)  # noqa: S101 - declared as such above
            field.choices = choices

    def access(self) -> Access:
        data = self.cleaned_data
        return Access(image_code=data["image"], ssh_key_refs=tuple(data["ssh_keys"]), user_data=data["user_data"])


class ExtendForm(DomainForm):
    """A new end, or none."""

    end = forms.ChoiceField(
        label=_("End"), choices=[(OPEN, _("On release")), (FIXED, _("At a time"))], widget=forms.RadioSelect
    )
    ends_at = UtcDateTimeField(label=_("Ends at, UTC"), required=False)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("end") == FIXED and not data.get("ends_at") and "ends_at" not in self.errors:
            self.add_error("ends_at", _("Say when it is to end."))
        return data

    def new_end(self) -> datetime | None:
        value: datetime | None = self.cleaned_data["ends_at"] if self.cleaned_data["end"] == FIXED else None
        return value
