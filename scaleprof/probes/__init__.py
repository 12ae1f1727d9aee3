"""The only readers of clocks and memory. A probe never changes what it observes."""
