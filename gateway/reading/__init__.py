"""Hand the ledger out: records and reports as JSON, NDJSON, CSV or Parquet, with a checksum."""
