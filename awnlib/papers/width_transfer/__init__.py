"""Chin, Marculescu and Morcos: Width Transfer (2021)."""
