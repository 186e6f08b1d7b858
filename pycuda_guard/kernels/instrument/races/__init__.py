"""Races inside kernels: cells that remember who accessed a word last, and what orders accesses."""
