"""The Kubernetes API: what the watch brought, and every write. Holds no decision and no kopf."""
