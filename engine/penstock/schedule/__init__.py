"""When and in which order mail is sent: rates, retry, ready queues. Pure."""
