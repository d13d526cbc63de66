"""What the benchmarks share: networks, data, peers, processes.  No benchmark stands here."""
