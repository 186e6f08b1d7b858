"""Copy an array to the GPU, to an address that is none of the GPU's.

``buffer.ctypes.data`` is where a host array lies; ``memcpy_htod`` needs what ``mem_alloc`` returns.
"""

import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda

source = np.arange(100, dtype=np.int32)
buffer = np.empty_like(source)
try:
    cuda.memcpy_htod(buffer.ctypes.data, source)
except cuda.Error as error:
    print("upload failed:", error)
