"""What measures tunehook's speed and cost. Each benchmark is run with ``python -m`` from the checkout's root."""

import sys
from pathlib import Path

# The functions are no installed package: Lambda puts their folder on the path, and so does pytest.
sys.path.append(str(Path(__file__).parents[1] / "functions"))
