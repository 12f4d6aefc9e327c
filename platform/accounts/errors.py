"""What can go wrong with people, tenants and keys, and whose turn it is then."""

from django.utils.translation import gettext_noop as _

from common.errors import Conflict, Fault, Forbidden, InvalidRequest, NotFound


class BadSshKey(InvalidRequest):
    """The text is not an SSH public key that may be put on a node; the message says why."""

    code = "bad-ssh-key"
    hint = _("paste the one line of your .pub file, for example of: ssh-keygen -t ed25519")


class BadVatId(InvalidRequest):
    """The VAT id does not have the form, or the check digits, of its country."""

    code = "bad-vat-id"


class DocumentsNotAccepted(InvalidRequest):
    """Terms, acceptable use and data processing must all be accepted, in the versions in force now."""

    code = "documents-not-accepted"
    hint = _("read the documents in force again and accept all of them")


class NameTaken(Conflict):
    """Another of the tenant's things of this kind has the name."""

    code = "name-taken"


class KeyKnownAlready(Conflict):
    """The tenant has this very SSH key already."""

    code = "ssh-key-known-already"


class LimitReached(Conflict):
    """The tenant has as many of these as it may have."""

    code = "limit-reached"


class TenantSuspended(Forbidden):
    """The operator has suspended the tenant: it may read, release and pay, but start nothing new."""

    code = "tenant-suspended"
    fault = Fault.OPERATOR
    hint = _("write to the operator; running nodes go on and can be released")


class NotAMember(Forbidden):
    """The person is signed in but acts for no tenant yet."""

    code = "no-tenant"
    hint = _("tell us about your organisation first")


class LastOwner(Conflict):
    """A tenant keeps at least one owner."""

    code = "last-owner"
    hint = _("make somebody else an owner first")


class InvitationNotFound(NotFound):
    """No open invitation has this token: it was used, withdrawn, expired or never made."""

    code = "invitation-not-found"
    hint = _("ask for a new invitation")


class EmailNotConfirmed(Forbidden):
    """The person's e-mail address is not confirmed."""

    code = "email-not-confirmed"
    hint = _("open the link in the mail that was sent to you")
