"""How much a workload needs: histograms, queueing, a recommendation with its bounds, or a refusal. Pure; knows no price."""
