"""The process that reads the event log of all workers and acts on what it says."""
