"""A stand-in for Stripe's API on loopback, with memory: what the platform's card code is tested and shown against.

Customers, payment methods, setup intents, payment intents, refunds, Checkout in setup mode, events and signed webhooks,
with idempotency as Stripe documents it, test cards that decline or want their owner, faults on demand and a clock that
can be moved. Judged by the official SDK. `python -m lab.stripe --help` runs it.
"""
