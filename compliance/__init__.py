"""Evidence: the tamper-evident log (``audit``), its offline verifier, and the records of the AI Act (``ai_act``)."""
