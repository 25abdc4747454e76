"""What a user does with Frugal, written once, run in embedded mode and with the operator on a real Kubernetes."""
