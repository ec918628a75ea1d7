"""Who gets no mail any more: the list, what puts an address on it, and how it is asked."""
