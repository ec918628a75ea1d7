"""What comes back: classify a reply, read a report. Pure: no I/O, no clock."""
