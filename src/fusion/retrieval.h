/* The queues of a retrieval, for tests that look at their times. */
#ifndef CLF_FUSION_RETRIEVAL_H
#define CLF_FUSION_RETRIEVAL_H

#include <clfusion/retrieval.h>
#include <clfusion/stream.h>

clf_stream *clf_retrieval_uploads(clf_retrieval *r);
clf_stream *clf_retrieval_products(clf_retrieval *r);

/* Blocks are read where they lie. */
bool clf_retrieval_in_place(const clf_retrieval *r);

#endif
