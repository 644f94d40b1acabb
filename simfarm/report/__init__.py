"""What people read: evaluations, tables, files, kept and published boards."""
