"""Invoices made from a closed month, and a check of them."""
