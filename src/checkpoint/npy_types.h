/* The types that clfusion and .npy files share. */
#ifndef CLF_CHECKPOINT_NPY_TYPES_H
#define CLF_CHECKPOINT_NPY_TYPES_H

#include <clfusion/tensor.h>

#define CLF_NPY_MAGIC "\x93NUMPY"
#define CLF_NPY_MAGIC_BYTES 6u

/* "<f4"; NULL for types that NumPy lacks.  Static storage. */
const char *clf_npy_descr(clf_dtype dtype);

#endif
