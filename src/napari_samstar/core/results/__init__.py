"""What a run leaves behind: recipe, files, report, autosave."""
