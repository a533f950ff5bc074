"""Tests: unit inference."""
