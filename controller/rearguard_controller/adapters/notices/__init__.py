"""People are told: what a notice says, and its delivery."""
