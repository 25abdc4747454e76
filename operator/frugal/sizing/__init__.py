"""How much a workload needs: histograms, queueing, a recommendation with bounds, or a refusal. Pure; has no price."""
