"""What was measured: pods scraped directly, or Prometheus asked in bulk. Decides nothing and keeps no history."""
