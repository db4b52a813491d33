"""The journal: what survives a crash. One store protocol, two stores; `opening` picks one."""
