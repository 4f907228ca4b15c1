"""One recorded pass: the recorder, its statistics, and the record."""
