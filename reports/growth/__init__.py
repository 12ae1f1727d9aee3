"""How cost grows: fits and laws."""
