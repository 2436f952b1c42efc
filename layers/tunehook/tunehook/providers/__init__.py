"""The provider layer: polls the tasks of a provider and reads its answers.

The models of the configuration are heavy to import, and only in `tunehook.providers.config`.
"""
