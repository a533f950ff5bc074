"""Is it on the bill: the durable journal, the ledger and the reports read from it."""
