"""For every test: one thread per process, because test processes and Ray's workers share the machine's cores."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
