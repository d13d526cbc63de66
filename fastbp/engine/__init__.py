"""A network in the memory and its training: what is laid out and planned, the compiled driver, threads, epochs."""
