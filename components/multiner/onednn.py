"""How much oneDNN and torch keep of what they make for single products.

Code is made for each shape of a product, and a training has a new number of rows at each step. Up to 1,024 of them are
kept unless one says otherwise, of two megabytes each in bfloat16: gigabytes that never come up again.
"""

import os

# oneDNN's own memory, and that of the layer which torch has above it.
CAPACITIES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
# Enough for all products of a step, and for the few numbers of rows that prediction fills up to.
KEPT = 64


def keep_few_products() -> None:
    """Have little be kept, unless the environment says how much already.

    To be called before the first product of the process, since it is read then; later it changes nothing.
    """
    for name in CAPACITIES:
        os.environ.setdefault(name, str(KEPT))
