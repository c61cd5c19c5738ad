"""The single-purpose services of Voxrelay. They never import each other."""

import os

# Before NumPy is imported: the engines' products of matrices are small, and threads that wait for each other make them ten times slower.
# A stage works on one core; more of them are used by more processes. An operator's own setting stays.
for _library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_library, "1")
