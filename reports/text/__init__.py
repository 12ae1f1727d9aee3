"""Units, ticks, style and sections: how anything is written for people."""
