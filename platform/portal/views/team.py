"""Who belongs to the organisation and what each role may do."""

from django.http import HttpRequest, HttpResponse

from accounts import selectors
from accounts.roles import GRANTS, Permission, Role
from portal.base import PortalView


class Team(PortalView):
    page = "portal/team.html"

    def get(self, _request: HttpRequest) -> HttpResponse:
        roles = [
            (role.label, [permission.label for permission in Permission if permission.value in GRANTS[role]])
            for role in Role
        ]
        return self.show(members=selectors.members(actor=self.actor), roles=roles)
