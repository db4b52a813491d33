"""Everything that may be known of an alert and its target, gathered before anything is decided."""
