"""Tests: unit auth."""
