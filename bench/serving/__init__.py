"""What bench/serve.py needs: the model, the loads and the servers to compare with. Measures nothing by itself."""
