"""Who belongs to the organisation, what each role may do, and who is asked to join."""

from http import HTTPStatus

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from accounts import selectors, services
from accounts.forms import InvitationForm
from accounts.middleware import choose_tenant
from accounts.models import User
from accounts.roles import GRANTS, Permission, Role
from common.errors import DomainError, NotFound
from portal.base import PortalView, sentence


class Team(PortalView):
    page = "portal/team.html"

    def get(self, _request: HttpRequest) -> HttpResponse:
        return self.page_with(InvitationForm())

    def page_with(self, form: InvitationForm, *, status: int = HTTPStatus.OK) -> HttpResponse:
        roles = [
            (role.label, [permission.label for permission in Permission if permission.value in GRANTS[role]])
            for role in Role
        ]
        return self.show(
            page="portal/team.html",
            members=selectors.members(actor=self.actor),
            invitations=selectors.open_invitations(actor=self.actor),
            roles=roles,
            form=form,
            can_manage=self.may(Permission.MANAGE_TENANT),
            status=status,
        )


class Invite(Team):
    permission = Permission.MANAGE_TENANT

    def get(self, _request: HttpRequest) -> HttpResponse:
        return redirect("portal:team")

    def post(self, request: HttpRequest) -> HttpResponse:
        form = InvitationForm(request.POST)
        if form.is_valid():
            try:
                services.invite(actor=self.actor, **form.cleaned_data)
            except DomainError as error:
                form.add_error(None, f"{error.message} {sentence(error.hint)}".strip())
            else:
                self.done(
                    _("%(email)s is asked to join; the link in the mail is good for some days.") % form.cleaned_data
                )
                return redirect("portal:team")
        return self.page_with(form, status=HTTPStatus.UNPROCESSABLE_ENTITY)


class WithdrawInvitation(PortalView):
    permission = Permission.MANAGE_TENANT
    page = "portal/confirm.html"

    def get(self, _request: HttpRequest, ref: str) -> HttpResponse:
        invitation = selectors.open_invitations(actor=self.actor).filter(ref=ref).first()
        if invitation is None:
            raise NotFound(_("There is no such open invitation."))
        return self.show(
            title=_("Withdraw the invitation of %(email)s?") % {"email": invitation.email},
            text=_("The mailed link stops working."),
            verb=_("Withdraw it"),
            back="portal:team",
        )

    def post(self, _request: HttpRequest, ref: str) -> HttpResponse:
        services.withdraw_invitation(actor=self.actor, ref=ref)
        self.done(_("The invitation is withdrawn."))
        return redirect("portal:team")


class Join(PortalView):
    """Where the mailed link leads: the person signs in, or signs up, with the invited address, and joins."""

    page = "portal/join.html"

    def gate(self) -> HttpResponse | None:
        return redirect_to_login(self.request.get_full_path()) if self.request.actor is None else None

    def get(self, _request: HttpRequest, token: str) -> HttpResponse:
        invitation = selectors.open_invitation(token=token)
        return self.show(invitation=invitation, status=HTTPStatus.OK if invitation else HTTPStatus.NOT_FOUND)

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        user = request.user
        assert isinstance(user, User)  # noqa: S101 - the gate let nobody else in
        request_id = str(request.META.get("chapek.request_id", ""))
        membership = services.accept_invitation(user=user, token=token, request_id=request_id)
        choose_tenant(request=request, tenant_ref=membership.tenant.ref)
        self.done(_("You belong to %(name)s now.") % {"name": membership.tenant.legal_name})
        return redirect("portal:home")
