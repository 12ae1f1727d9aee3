"""Records as tables and curves."""
