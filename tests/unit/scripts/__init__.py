"""Tests of what `make` runs beside the product."""
