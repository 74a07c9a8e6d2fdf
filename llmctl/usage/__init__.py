"""The ledger of every call, and the reports made from it."""
