/* The Q-Former's tests at sizes where cross-attention makes no keys and values (fusion/absorbed_attention.h). */
#define QFORMER_SIZES QFORMER_FEW_QUERIES
#include "test_qformer.c"
