"""Conditions: how images are drawn, a JSON object that docs/contract.md describes."""
