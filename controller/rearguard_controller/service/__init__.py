"""The controller as a process: wiring, reload, leadership, logs."""
