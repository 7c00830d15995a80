"""`evalkit nightly`: models x suites x engines every night, one report, a history, and a verdict."""
