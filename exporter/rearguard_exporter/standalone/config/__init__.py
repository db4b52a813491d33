"""The configuration file of `rearguard-exporter`: from YAML text to frozen values, or to an error with its line."""
