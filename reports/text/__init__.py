"""Units, ticks, wrapping, style and sections: how numbers and text are presented."""
