"""Every figure of docs/benchmarks.md, one command each: `python -m bench.NAME`, or `make bench` for all."""
