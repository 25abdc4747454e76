"""Which candidates to try, in which order, and which to put forward. The judge is verify.py."""
