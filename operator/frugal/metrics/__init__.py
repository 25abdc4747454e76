"""What /metrics shows: the catalogue, one collector over one snapshot, and the operator's own counters. No decision."""
