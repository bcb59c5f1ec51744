"""What thebase_auth costs, measured beside what people use today: ``python -m benchmarks``."""
