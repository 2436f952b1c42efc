"""The webhooks function: one signed POST a message, its record, and the next attempt."""
