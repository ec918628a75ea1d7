"""Pure functions over messages: envelope, headers, DKIM, delivery status notifications."""
