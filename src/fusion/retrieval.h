/* How a retrieval reads, for tests. */
#ifndef CLF_FUSION_RETRIEVAL_H
#define CLF_FUSION_RETRIEVAL_H

#include <clfusion/retrieval.h>

/* Blocks are read where they lie. */
bool clf_retrieval_in_place(const clf_retrieval *r);

#endif
