"""Vu, Eder, Price and Frahm: Any-Width Networks (2020)."""
