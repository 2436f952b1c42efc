"""Kinds that are described, not programmed: a recipe says how a provider is asked and how its answers are read.

Nothing of the layer imports these modules unless a provider has a recipe.
"""
