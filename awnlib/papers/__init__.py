"""The papers, a folder each: tables and figures, numbers, claims."""
