"""Notes as bytes: frontmatter, headings, the `## Runs` section. Edits splice; nothing is re-serialised. Pure."""
