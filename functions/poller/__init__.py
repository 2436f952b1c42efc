"""The function that asks the providers about pending tasks."""
