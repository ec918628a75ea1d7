"""Who may send now, over all workers: leases granted locally or by the governor."""
