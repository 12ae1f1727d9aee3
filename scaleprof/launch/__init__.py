"""Starting the processes that measure points."""
