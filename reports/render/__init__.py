"""Sections as terminal text, Markdown, JSON, pictures and a page."""
