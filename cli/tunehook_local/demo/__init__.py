"""The demonstration: the whole job on an embedded AWS, checked to the last byte."""
