"""The offline verifier, offered for download beside every export. It imports nothing of this product."""
