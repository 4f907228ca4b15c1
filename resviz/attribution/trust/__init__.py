"""`faithfulness`: whether to believe an explanation."""
