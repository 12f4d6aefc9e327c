"""What can go wrong between a worker and a BMC, sorted by what to do about it."""

from typing import ClassVar

from common.errors import DomainError, Fault


class BmcError(DomainError):
    """The BMC answered, and refused or failed the command; asking again in the same way does not help."""

    code = "bmc-error"
    status = 502
    fault = Fault.HARDWARE
    hint = "read the BMC's answer; set the node into maintenance and reset its BMC if it persists"


class BmcUnreachable(BmcError):
    """No answer in time, or none that belongs to the protocol. May heal by itself."""

    code = "bmc-unreachable"
    status = 503
    hint = "check the address, the management network and that the BMC has power"
    retryable: ClassVar[bool] = True


class BmcBusy(BmcError):
    """The BMC has no room for the command just now: sessions used up, starting, or working. May heal by itself."""

    code = "bmc-busy"
    status = 503
    hint = "wait and repeat; close other sessions to this BMC if it persists"
    retryable: ClassVar[bool] = True


class BmcCredentialsRefused(BmcError):
    """The BMC does not accept the name, the password or the privilege. Stop at once: repeating locks accounts."""

    code = "bmc-credentials-refused"
    fault = Fault.OPERATOR
    hint = "store the right BMC user and password at the node; the user needs administrator privilege"


class BmcSecurityMismatch(BmcError):
    """The BMC and we share no acceptable way to protect the connection (IPMI cipher suite, TLS)."""

    code = "bmc-security-mismatch"
    fault = Fault.OPERATOR
    hint = "set the node's cipher suite to one that its BMC allows: 17, or 3 for old hardware"


class DriverToolMissing(DomainError):
    """A program that the driver runs is not installed on this worker."""

    code = "driver-tool-missing"
    status = 503
    fault = Fault.OPERATOR
    hint = "install the named program on every worker of this site"
