"""The function that checks new tasks."""
