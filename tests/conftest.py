"""For every test: one thread per process, because the machine's cores are shared by test processes and Ray's workers."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
