"""An IPMI 2.0 BMC over RMCP+ for the emulated rack: cipher suites 3 and 17, power, boot device, DCMI power reading."""

from lab.ipmi.server import IpmiServer, serve_ipmi
from lab.ipmi.sessions import Limits

__all__ = ["IpmiServer", "Limits", "serve_ipmi"]
