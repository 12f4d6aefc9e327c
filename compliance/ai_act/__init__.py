"""Records under the AI Act: registers of systems, models and data, compute and energy evidence, human oversight,
incidents, retention and evidence packs. It reads all rooms below it; the log itself is ``compliance.audit``.
"""
