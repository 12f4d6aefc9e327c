"""The tenant's portal, from the front door inwards."""

from django.urls import path

from portal.views import public

app_name = "portal"
urlpatterns = [
    path("", public.front, name="front"),
    path("stock/", public.stock, name="stock"),
    path("legal/<slug:kind>/", public.legal, name="legal"),
    path("theme/", public.theme, name="theme"),
]
