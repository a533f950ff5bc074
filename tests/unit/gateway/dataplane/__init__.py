"""Tests: unit gateway dataplane."""
