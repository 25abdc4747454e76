"""What capacity costs, what a change saves and whether compressing pays, in Decimal. Pure; fetches no price."""
