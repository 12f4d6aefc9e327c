"""The portal's pages: each parses what was sent, makes one domain call, and shows what came of it."""
