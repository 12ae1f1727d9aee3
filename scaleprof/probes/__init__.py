"""The only readers of clocks and memory. Probes observe and never change what they observe."""
