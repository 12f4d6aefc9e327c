"""Quotes and reservations: ask, reserve, watch, act."""

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts.permissions import may
from accounts.roles import Permission
from api.base import BaseViewSet
from api.serializers.reservations import (
    ActSerializer,
    QuoteRequestSerializer,
    QuoteSerializer,
    ReservationDetailSerializer,
    ReservationSerializer,
    ReserveSerializer,
)
from api.words import at_the_end
from billing import selectors as money
from common.actors import Actor
from common.clock import database_now
from common.errors import InvalidRequest
from reservations import access, selectors, services
from reservations.models import Reservation
from reservations.requests import Access, QuoteRequest
from reservations.states import ReservationState

POWER = frozenset({"power_on", "power_off", "power_cycle", "reboot"})


@extend_schema_view(
    create=extend_schema(
        summary="Ask what it would cost, where it would run and why; the price stands until expires_at",
        request=QuoteRequestSerializer,
        responses={201: QuoteSerializer},
    ),
    retrieve=extend_schema(summary="One quote"),
)
class Quotes(BaseViewSet):
    needs = {"create": Permission.RESERVE, "retrieve": Permission.VIEW}
    serializer_class = QuoteSerializer

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        return QuoteRequestSerializer if self.action == "create" else QuoteSerializer

    def create(self, _request: Request) -> Response:
        asked = self.body()
        workload = asked.pop("workload", None) or {}
        wish = QuoteRequest(
            project_ref=asked.pop("project"),
            countries=frozenset(workload.pop("countries", [])),
            **asked,
            **workload,
        )
        made = services.quote(actor=self.actor, request=wish)
        # Read again as GET would show it: database defaults and joined rows included.
        quote = selectors.quote(actor=self.actor, ref=made.ref)
        return Response(_shown(quote), status=status.HTTP_201_CREATED, headers=_location("quote", quote.ref))

    def retrieve(self, _request: Request, ref: str) -> Response:
        return Response(_shown(selectors.quote(actor=self.actor, ref=ref)))


def _shown(quote: Any) -> Any:
    return QuoteSerializer(quote, context={"at_the_end": at_the_end}).data


def _location(name: str, ref: str) -> dict[str, str]:
    return {"Location": reverse(f"api:{name}", kwargs={"ref": ref})}


@extend_schema_view(
    list=extend_schema(
        summary="The tenant's reservations, newest first",
        parameters=[
            OpenApiParameter(
                "state", enum=ReservationState.values, many=True, description="Only these states; may be repeated."
            )
        ],
    ),
    create=extend_schema(
        summary="Turn an open quote into a reservation that holds concrete nodes",
        request=ReserveSerializer,
        responses={201: ReservationDetailSerializer},
    ),
    retrieve=extend_schema(
        summary="One reservation with its nodes, cost and what can be done", responses=ReservationDetailSerializer
    ),
)
class Reservations(BaseViewSet):
    needs = {
        "list": Permission.VIEW,
        "retrieve": Permission.VIEW,
        "create": Permission.RESERVE,
        "act": Permission.RESERVE,
    }
    key_required = frozenset({"create"})
    serializer_class = ReservationSerializer

    def rows(self) -> QuerySet[Reservation]:
        rows = selectors.reservations_of(actor=self.actor)
        states = self.request.query_params.getlist("state")
        if unknown := set(states) - set(ReservationState.values):
            raise InvalidRequest(_("There is no state %(state)s.") % {"state": min(unknown)[:40]}, field="state")
        return rows.filter(state__in=states) if states else rows

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        return {"create": ReserveSerializer, "act": ActSerializer}.get(self.action or "", ReservationSerializer)

    def list(self, request: Request) -> Response:
        paginator = self.paginator
        assert paginator is not None  # noqa: S101 - set for the whole API
        page = paginator.paginate_queryset(self.rows(), request, view=self) or []
        return paginator.get_paginated_response(ReservationSerializer(_with_cost(self.actor, page), many=True).data)

    def retrieve(self, _request: Request, ref: str) -> Response:
        return Response(self._detail(ref))

    def create(self, _request: Request) -> Response:
        asked = self.body()
        made = services.reserve(
            actor=self.actor,
            quote_ref=asked["quote"],
            name=asked["name"],
            access=Access(
                image_code=asked["image"], ssh_key_refs=tuple(asked["ssh_keys"]), user_data=asked["user_data"]
            ),
        )
        return Response(
            self._detail(made.ref), status=status.HTTP_201_CREATED, headers=_location("reservation", made.ref)
        )

    @extend_schema(
        summary="Release, cancel, extend, or switch power; actions of the reservation says what is possible",
        request=ActSerializer,
        responses={200: ReservationDetailSerializer},
    )
    def act(self, _request: Request, ref: str) -> Response:
        asked = self.body()
        action = asked["action"]
        if action == "release":
            services.release(actor=self.actor, ref=ref)
        elif action == "cancel":
            services.cancel(actor=self.actor, ref=ref)
        elif action == "extend":
            services.extend(actor=self.actor, ref=ref, ends_at=asked["ends_at"])
        else:
            services.power(actor=self.actor, ref=ref, action=action, node_ref=asked["node"])
        return Response(self._detail(ref))

    def _detail(self, ref: str) -> Any:
        reservation = selectors.reservation(actor=self.actor, ref=ref)
        body = {
            **_with_cost(self.actor, [reservation])[0],
            "nodes": access.nodes_of(reservation=reservation),
            "actions": selectors.actions(reservation=reservation),
        }
        return ReservationDetailSerializer(body).data


def _with_cost(actor: Actor, rows: Sequence[Reservation]) -> list[dict[str, Any]]:
    """Each with what it came to; one query for all, none for those who may not see cost."""
    if not may(actor=actor, permission=Permission.VIEW_BILLING):
        return [{"reservation": row, "cost": None} for row in rows]
    costs = money.cost_of(reservation_refs=[row.ref for row in rows], at=database_now())
    return [{"reservation": row, "cost": costs[row.ref]} for row in rows]
