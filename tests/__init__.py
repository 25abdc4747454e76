"""Everything that tests Frugal; nothing here is installed."""
