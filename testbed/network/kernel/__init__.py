"""Network namespaces, interfaces, counters, connections and settings of the kernel."""
