"""Access to AWS: tables, the bus, the secrets. The one part of the layer that knows boto3."""
