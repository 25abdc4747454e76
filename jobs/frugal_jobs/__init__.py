"""The compression pod: a request and a model in, a verified and smaller model and a report out. Knows no Kubernetes."""
