"""Model families, one file each; the registry knows where."""
