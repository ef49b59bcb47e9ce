"""`rescind tap`: a transparent proxy in front of a scheduler that shows, records, judges and disturbs what is said."""
