"""What people and programs do with a deployed stack: the base of the command, and of whatever else is built on it.

A function takes a `tunehook.operations.stack.Stack`, returns models and raises the errors of `tunehook.errors`, whose
fields are the names of its parameters. Of the Lambda functions the api imports this package alone.
"""
