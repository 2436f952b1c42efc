"""What the commands of an operator read and do: figures of a stack, its dead letters, its examination."""
