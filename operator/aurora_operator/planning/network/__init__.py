"""Services, the slices behind them, and who may talk to whom."""
