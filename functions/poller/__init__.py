"""The function that polls the providers about pending tasks."""
