"""Model families behind one interface and one registry."""
