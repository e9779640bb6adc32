"""Fan-out: many independent jobs over one interface to workers."""
