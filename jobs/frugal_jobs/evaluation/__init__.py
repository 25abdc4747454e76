"""Quality, latency, size and FLOPs of a Model, each with how sure it is. Changes no model."""
