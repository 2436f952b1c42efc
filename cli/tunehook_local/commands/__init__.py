"""The commands `tunehook local` and `tunehook sandbox`."""
