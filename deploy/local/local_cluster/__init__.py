"""A stand-in for a Kubernetes cluster: an API server in memory, its controllers, and pods that follow a script.

It answers the real `kubectl` and real client libraries, so tests need no cluster. It is not Kubernetes: the section
"The stand-in cluster" of `deploy/local/README.md` lists what it leaves out. Begin with `cluster.running`.

Here: the API, the store behind it, the workload controllers, and the faults that a test can switch on.
Never here: anything the product needs to run; nothing imports this package but tests, the demo and benchmarks.
"""
