/* What harness.c and compare.c share. */
#ifndef CLF_TESTS_TEST_TENSORS_H
#define CLF_TESTS_TEST_TENSORS_H

#include "harness.h"

typedef struct clf_test_tensor {
    clf_tensor memory; /* u8: guard, payload, guard */
    clf_dtype dtype;
    size_t bytes; /* of the payload */
    const double *given;
} clf_test_tensor;

const clf_test_tensor *clf_test_find(clf_tensor x);
void clf_test_finish(clf_test *t); /* asserts CLF_OK */
unsigned char *clf_test_image(clf_test *t, const clf_test_tensor *tensor);
const unsigned char *clf_test_payload(const unsigned char *image);
/* Element number in the payload of element `flat` (row-major) of the view x. */
size_t clf_test_position(clf_tensor x, const clf_test_tensor *tensor, size_t flat);
void clf_test_write_value(void *data, clf_dtype dtype, size_t i, double value);

#endif
