"""PTX to machine code, by way of LLVM."""
