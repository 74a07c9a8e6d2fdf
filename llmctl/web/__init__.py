"""The dashboard: a page over the ledger, read-only, and the same for programs."""
