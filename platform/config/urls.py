"""Every door of the house."""

from allauth import urls as allauth_urls
from django.contrib import admin
from django.urls import include, path
from django.urls.resolvers import URLPattern, URLResolver

from operations.door import login as operators_login

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("observability.urls")),
    path("api/v1/", include("api.urls")),
    path("admin/login/", operators_login),  # before Django's own
    path("admin/", admin.site.urls),
    path("accounts/", include(allauth_urls)),
    path("webhooks/stripe/", include("billing.urls")),
    path("", include("provisioning.urls")),  # boot/ and images/, as boot loaders know them
    path("", include("portal.urls")),
]
