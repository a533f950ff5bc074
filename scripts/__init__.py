"""What `make` runs beside the product; the standard library alone, so that nothing is installed."""
