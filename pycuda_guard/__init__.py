"""A debugging harness for PyCUDA programs."""
