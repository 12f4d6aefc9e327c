"""The way into the admin: the same log-in as everybody's.

Django's own form for the admin asks for no second factor and counts no failed attempts, so it is never shown.
"""

from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.cache import never_cache


@never_cache
def login(request: HttpRequest) -> HttpResponse:
    """Stands at the address of ``AdminSite.login``. Where to go afterwards is checked by the log-in itself."""
    user = request.user
    if user.is_authenticated:
        if user.is_active and user.is_staff:
            return redirect("admin:index")
        raise PermissionDenied
    return redirect_to_login(
        request.GET.get(REDIRECT_FIELD_NAME) or reverse("admin:index"), login_url=settings.LOGIN_URL
    )
