"""SSH keys, which open nodes, and API keys, which open the API."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from accounts import selectors
from accounts.forms import ApiKeyForm, SshKeyForm
from accounts.roles import Permission
from accounts.services import NewApiKey, add_ssh_key, make_api_key, remove_ssh_key, revoke_api_key
from common.clock import database_now
from common.errors import DomainError, NotFound
from portal.base import PortalView, said


def add_error(form: SshKeyForm | ApiKeyForm, error: DomainError, *, default: str) -> None:
    """Show a service's refusal beside the field it is about."""
    name = str(error.context.get("field") or default)
    form.add_error(name if name in form.fields else None, said(error))


class Keys(PortalView):
    page = "portal/keys.html"

    def get(self, _request: HttpRequest) -> HttpResponse:
        return self.page_with()

    def page_with(
        self,
        *,
        ssh_form: SshKeyForm | None = None,
        api_form: ApiKeyForm | None = None,
        made: NewApiKey | None = None,
        status: int = 200,
    ) -> HttpResponse:
        now = database_now()
        api_keys = [
            (key, "revoked" if key.revoked_at else "expired" if key.expires_at and key.expires_at <= now else "live")
            for key in selectors.api_keys(actor=self.actor)
        ]
        return self.show(
            page="portal/keys.html",
            at=now,
            ssh_keys=selectors.ssh_keys(actor=self.actor),
            api_keys=api_keys,
            ssh_form=ssh_form or SshKeyForm(prefix="ssh"),
            api_form=api_form or ApiKeyForm(prefix="api", initial={"scopes": ["read"]}),
            made=made,
            can_manage_ssh=self.may(Permission.MANAGE_KEYS),
            can_manage_api=self.may(Permission.MANAGE_API_KEYS),
            status=status,
        )


class AddSshKey(Keys):
    permission = Permission.MANAGE_KEYS

    def get(self, _request: HttpRequest) -> HttpResponse:
        return redirect("portal:keys")

    def post(self, request: HttpRequest) -> HttpResponse:
        form = SshKeyForm(request.POST, prefix="ssh")
        if form.is_valid():
            try:
                key = add_ssh_key(actor=self.actor, **form.cleaned_data)
            except DomainError as error:
                add_error(form, error, default="public_key")
            else:
                self.done(_("SSH key %(name)s is added.") % {"name": key.name})
                return redirect("portal:keys")
        return self.page_with(ssh_form=form, status=422)


class RemoveSshKey(PortalView):
    permission = Permission.MANAGE_KEYS
    page = "portal/confirm.html"

    def get(self, _request: HttpRequest, ref: str) -> HttpResponse:
        key = selectors.ssh_keys(actor=self.actor).filter(ref=ref).first()
        if key is None:
            raise NotFound(_("There is no such SSH key."))
        return self.show(
            title=_("Remove the SSH key %(name)s?") % {"name": key.name},
            text=_("New reservations cannot use it. Nodes that are running keep what is on them."),
            verb=_("Remove the key"),
            back="portal:keys",
        )

    def post(self, _request: HttpRequest, ref: str) -> HttpResponse:
        remove_ssh_key(actor=self.actor, ref=ref)
        self.done(_("The SSH key is removed."))
        return redirect("portal:keys")


class MakeApiKey(Keys):
    """The secret is in the answer to this very request and nowhere else."""

    permission = Permission.MANAGE_API_KEYS

    def get(self, _request: HttpRequest) -> HttpResponse:
        return redirect("portal:keys")

    def post(self, request: HttpRequest) -> HttpResponse:
        form = ApiKeyForm(request.POST, prefix="api")
        if form.is_valid():
            try:
                made = make_api_key(
                    actor=self.actor,
                    name=form.cleaned_data["name"],
                    scopes=form.cleaned_data["scopes"],
                    expires_at=form.expires_at(),
                )
            except DomainError as error:
                add_error(form, error, default="name")
            else:
                answer = self.page_with(made=made)
                answer["Cache-Control"] = "no-store"
                return answer
        return self.page_with(api_form=form, status=422)


class RevokeApiKey(PortalView):
    permission = Permission.MANAGE_API_KEYS
    page = "portal/confirm.html"

    def get(self, _request: HttpRequest, ref: str) -> HttpResponse:
        key = selectors.api_keys(actor=self.actor).filter(ref=ref).first()
        if key is None:
            raise NotFound(_("There is no such API key."))
        return self.show(
            title=_("Revoke the API key %(name)s?") % {"name": key.name},
            text=_("Whatever uses it is refused from then on. This cannot be taken back."),
            verb=_("Revoke the key"),
            back="portal:keys",
        )

    def post(self, _request: HttpRequest, ref: str) -> HttpResponse:
        revoke_api_key(actor=self.actor, ref=ref)
        self.done(_("The API key is revoked."))
        return redirect("portal:keys")
