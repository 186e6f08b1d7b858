"""Upload a table of numbers.

``np.linspace`` makes float64, the allocation is counted in float32: the table is twice as large as
the memory that it is copied to.
"""

import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda

table = np.linspace(0.0, 1.0, 1000)
table_gpu = cuda.mem_alloc(table.size * 4)
try:
    cuda.memcpy_htod(table_gpu, table)
except cuda.Error as error:
    print("upload failed:", error)
