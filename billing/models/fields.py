"""The three kinds of number in money columns, so that no model invents a fourth."""

from typing import Any

from django.db import models


def rate_field(**options: Any) -> "models.DecimalField[Any, Any]":
    """A price per unit: 6 decimals."""
    return models.DecimalField(max_digits=18, decimal_places=6, **options)


def amount_field(**options: Any) -> "models.DecimalField[Any, Any]":
    """An amount on a document or in the ledger: whole cents."""
    return models.DecimalField(max_digits=18, decimal_places=2, **options)


def percent_field(**options: Any) -> "models.DecimalField[Any, Any]":
    """A tax rate in per cent, ``21.00``."""
    return models.DecimalField(max_digits=5, decimal_places=2, **options)


def currency_field() -> "models.CharField[Any, Any]":
    return models.CharField(max_length=3, default="EUR")
