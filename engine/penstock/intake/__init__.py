"""The edges through which mail comes in, and the HTTP endpoint beside them."""
