"""Tests of usage: journal, ledger, reports."""
