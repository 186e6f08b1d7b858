"""Dataflow over flat PTX functions."""
