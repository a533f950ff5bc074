"""Tests of the generator of tables."""
