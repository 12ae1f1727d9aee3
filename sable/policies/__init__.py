"""Models behind the `Policy` contract."""
