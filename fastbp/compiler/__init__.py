"""How Python becomes machine code: kernels compiled, kept and called by address, records, pointers, vectors."""
