"""Models to compress, made on the spot for the demo, the benchmarks and the tests. Nothing here runs in a compression pod."""
