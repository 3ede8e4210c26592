"""What belongs to a viewer and is shared by its panels."""
