"""From an object of ours to its child objects as manifests. Pure: nothing here looks at a cluster or decides when."""
