"""Every part of the design system on one page, for those who build with it."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views import View

from accounts.models import User
from portal.icons import ICONS
from portal.tones import FACES

SURFACES = ("canvas", "surface", "sunken", "hover", "line", "ink", "ink-2", "ink-3", "accent", "good", "warn", "bad")


class Sample(forms.Form):
    """One field of each kind, filled so that errors and hints show."""

    text = forms.CharField(label=_("Text"), help_text=_("With a hint below it."))
    choice = forms.ChoiceField(label=_("Choice"), choices=[("a", "A"), ("b", "B")])
    number = forms.IntegerField(label=_("Number"), min_value=1, required=False)
    day = forms.DateField(label=_("Day"), widget=forms.DateInput(attrs={"type": "date"}), required=False)
    long = forms.CharField(label=_("Long text"), widget=forms.Textarea(attrs={"rows": 3}), required=False)
    tick = forms.BooleanField(label=_("Tick"), required=False)
    either = forms.ChoiceField(
        label=_("Either"), choices=[("x", _("This")), ("y", _("That"))], widget=forms.RadioSelect, initial="x"
    )


class StyleGuide(View):
    """For staff, and for everybody where DEBUG is on."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        user = request.user
        if not settings.DEBUG and not (isinstance(user, User) and user.is_staff):
            raise Http404
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        now = timezone.now()
        messages.success(request, _("Something was done."))
        messages.error(request, _("Something could not be done."))
        context = {
            "icons": sorted(ICONS),
            "faces": [(kind, list(states)) for kind, states in FACES.items()],
            "form": Sample(data={"text": "", "number": "0", "choice": "a", "either": "x"}),
            "now": now,
            "soon": now + timedelta(hours=3, minutes=5),
            "amount": Decimal("12345.678"),
            "surfaces": SURFACES,
        }
        return render(request, "portal/styleguide.html", context)
