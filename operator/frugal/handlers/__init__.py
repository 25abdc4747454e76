"""kopf, and nothing but kopf: what its watches bring goes into the cache and the queue. Decides nothing."""
