"""The commands of `samstar`, one file each; what they share is in the other files."""
