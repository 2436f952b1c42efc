"""The function that keeps the results of ended tasks and makes the deliveries."""
