"""Tests of closed months and corrections."""
