"""Models to compress, made on the spot for the demo, benchmarks and tests. Nothing here runs in a compression pod."""
