"""What a scan measures: an accumulator in a file each, and a row in the registry."""
