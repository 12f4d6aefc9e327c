"""SSH keys, API keys, projects."""

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts import selectors, services
from accounts.models import ApiKey, Project, SshKey
from accounts.roles import Permission
from api.base import BaseViewSet
from api.serializers.accounts import (
    ApiKeySerializer,
    ApiKeyWithSecretSerializer,
    MakeApiKeySerializer,
    NewSshKeySerializer,
    ProjectSerializer,
    SshKeySerializer,
)


@extend_schema_view(
    list=extend_schema(summary="The tenant's SSH keys"),
    create=extend_schema(
        summary="Add an SSH public key", request=NewSshKeySerializer, responses={201: SshKeySerializer}
    ),
    retrieve=extend_schema(summary="One SSH key"),
    destroy=extend_schema(summary="Remove an SSH key; nodes handed over keep what is on them"),
)
class SshKeys(BaseViewSet):
    needs = {
        "list": Permission.VIEW,
        "retrieve": Permission.VIEW,
        "create": Permission.MANAGE_KEYS,
        "destroy": Permission.MANAGE_KEYS,
    }
    serializer_class = SshKeySerializer
    not_found = _("There is no such SSH key.")

    def rows(self) -> QuerySet[SshKey]:
        return selectors.ssh_keys(actor=self.actor)

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        return NewSshKeySerializer if self.action == "create" else SshKeySerializer

    def list(self, _request: Request) -> Response:
        return self.page()

    def retrieve(self, _request: Request, ref: str) -> Response:  # noqa: ARG002 - get_object reads it from the path
        return Response(SshKeySerializer(self.get_object()).data)

    def create(self, _request: Request) -> Response:
        key = services.add_ssh_key(actor=self.actor, **self.body())
        return Response(SshKeySerializer(key).data, status=status.HTTP_201_CREATED)

    def destroy(self, _request: Request, ref: str) -> Response:
        services.remove_ssh_key(actor=self.actor, ref=ref)
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema_view(
    list=extend_schema(summary="The tenant's API keys, without their secrets"),
    create=extend_schema(
        summary="Make an API key; its secret is in this answer and never again (session only)",
        request=MakeApiKeySerializer,
        responses={201: ApiKeyWithSecretSerializer},
    ),
    retrieve=extend_schema(summary="One API key"),
    destroy=extend_schema(summary="Revoke an API key (session only)"),
)
class ApiKeys(BaseViewSet):
    needs = {
        "list": Permission.VIEW,
        "retrieve": Permission.VIEW,
        "create": Permission.MANAGE_API_KEYS,
        "destroy": Permission.MANAGE_API_KEYS,
    }
    serializer_class = ApiKeySerializer
    not_found = _("There is no such API key.")

    def rows(self) -> QuerySet[ApiKey]:
        return selectors.api_keys(actor=self.actor)

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        return MakeApiKeySerializer if self.action == "create" else ApiKeySerializer

    def list(self, _request: Request) -> Response:
        return self.page()

    def retrieve(self, _request: Request, ref: str) -> Response:  # noqa: ARG002 - get_object reads it from the path
        return Response(ApiKeySerializer(self.get_object()).data)

    def create(self, _request: Request) -> Response:
        made = services.make_api_key(actor=self.actor, **self.body())
        shown = ApiKeyWithSecretSerializer(made.key, context={"secret": made.secret})
        return Response(shown.data, status=status.HTTP_201_CREATED)

    def destroy(self, _request: Request, ref: str) -> Response:
        services.revoke_api_key(actor=self.actor, ref=ref)
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema_view(list=extend_schema(summary="Projects, where reservations and their cost are filed"))
class Projects(BaseViewSet):
    needs = {"list": Permission.VIEW}
    serializer_class = ProjectSerializer

    def rows(self) -> QuerySet[Project]:
        return selectors.projects(actor=self.actor)

    def list(self, _request: Request) -> Response:
        return self.page()
