"""The methods of `explain`: a function and a row in the registry each."""
