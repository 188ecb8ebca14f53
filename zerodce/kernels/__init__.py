"""Loops over pixels, compiled by numba."""
