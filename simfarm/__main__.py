"""`python -m simfarm`."""

from simfarm.cli import main

raise SystemExit(main())
