"""Where the checkout and the test assets lie, wherever the test that asks stands."""

from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
ASSETS = CHECKOUT / "tests" / "assets"
LESIONS = CHECKOUT.parent / "shared" / "data" / "soop-lesions"  # may be absent
