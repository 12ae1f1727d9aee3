"""The sections of a report and of the summary."""
