"""Invoices and usage."""

from datetime import UTC, datetime

from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Permission
from api.base import BaseViewSet
from api.serializers.billing import InvoiceDetailSerializer, InvoiceSerializer, UsageSerializer
from billing import selectors
from billing.models import Invoice, UsageInterval
from common.clock import database_now
from common.errors import InvalidRequest


@extend_schema_view(
    list=extend_schema(summary="Invoices, drafts too, newest first"),
    retrieve=extend_schema(summary="One invoice with its lines", responses=InvoiceDetailSerializer),
)
class Invoices(BaseViewSet):
    needs = {"list": Permission.VIEW_BILLING, "retrieve": Permission.VIEW_BILLING}
    serializer_class = InvoiceSerializer

    def rows(self) -> QuerySet[Invoice]:
        return selectors.invoices(actor=self.actor)

    def list(self, _request: Request) -> Response:
        return self.page()

    def retrieve(self, _request: Request, ref: str) -> Response:
        invoice = selectors.invoice(actor=self.actor, ref=ref)
        owed = selectors.outstanding(invoice=invoice)
        return Response(InvoiceDetailSerializer(invoice, context={"outstanding": owed}).data)


@extend_schema_view(
    list=extend_schema(
        summary="Usage intervals: who used which node for how long at what price; newest first",
        parameters=[
            OpenApiParameter("from_at", OpenApiTypes.DATETIME, description="Intervals that touch [from_at, until_at)."),
            OpenApiParameter("until_at", OpenApiTypes.DATETIME),
            OpenApiParameter("reservation", OpenApiTypes.STR, description="Only of this reservation."),
        ],
    )
)
class Usage(BaseViewSet):
    needs = {"list": Permission.VIEW_BILLING}
    serializer_class = UsageSerializer

    def rows(self) -> QuerySet[UsageInterval]:
        return selectors.usage(
            actor=self.actor,
            from_at=self._instant("from_at"),
            until_at=self._instant("until_at"),
            reservation_ref=self.request.query_params.get("reservation", ""),
        )

    def _instant(self, name: str) -> datetime | None:
        text = self.request.query_params.get(name, "")
        if not text:
            return None
        try:
            found = parse_datetime(text)
            # As UTC: some offsets that can be written lead out of the calendar, or past what the database takes.
            instant = found.astimezone(UTC) if found is not None and found.tzinfo is not None else None
        except (ValueError, OverflowError):
            instant = None
        if instant is None:
            raise InvalidRequest(_("Give a time with an offset, for example 2026-12-01T08:00:00Z."), field=name)
        return instant

    def list(self, _request: Request) -> Response:
        return self.page(at=database_now())
