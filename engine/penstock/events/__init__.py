"""What happened: logs and metrics."""
