"""Included at /webhooks/stripe/ by ``config.urls``."""

from django.urls import path

from billing import views

app_name = "billing"
urlpatterns = [path("", views.stripe_webhook, name="stripe-webhook")]
