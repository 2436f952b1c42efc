"""A page on this machine that shows a stack: tasks to look at and listen to, webhooks to send again."""
