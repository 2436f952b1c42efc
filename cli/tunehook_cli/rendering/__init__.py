"""What tasks, deliveries and webhooks look like on a terminal."""
