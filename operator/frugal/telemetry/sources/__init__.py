"""What each kind of exporter says and how it misleads: one module for each. Nothing here asks anybody."""
