"""Tests: unit gateway."""
