"""report.json, the contract with the operator, and report.html, the same for people. Measures nothing."""
