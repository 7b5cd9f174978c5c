"""The reference networks, a file for each family: a golden file is made for each."""

import importlib
import pkgutil

REFERENCES = []
"""The architectures, under their registry names."""

VARIANTS = []
"""Variants of them that have a golden file of their own."""

FOREIGN = []
"""The same networks under the names of other libraries."""

for module in sorted(found.name for found in pkgutil.iter_modules(__path__)):
    family = importlib.import_module(f"{__name__}.{module}")
    REFERENCES += family.REFERENCES
    VARIANTS += getattr(family, "VARIANTS", [])
    FOREIGN += getattr(family, "FOREIGN", [])
