"""What flows through the farm, and how it is read and written: records, requests and completions, rows and frames."""
