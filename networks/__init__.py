"""Tenant networks: desired state, switch drivers, reconciler, isolation read back.

The room keeps its place in the layers. Until it drives switches, a node has an operator-entered tenant address, port
and gateway (``inventory.Node``).
"""
