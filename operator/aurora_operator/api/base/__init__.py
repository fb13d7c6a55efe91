"""What every model of `api` stands on: names, reasons, rules, quantities. Imports nothing else of ours."""
