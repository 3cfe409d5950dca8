"""Reads the ledger, estimates, draws and writes the report."""
