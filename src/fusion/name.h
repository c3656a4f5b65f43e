/* Names of the parts of a description, as they stand before messages. */
#ifndef CLF_FUSION_NAME_H
#define CLF_FUSION_NAME_H

#include "core/text.h"

clf_text clf_name_part(const char *name, const char *part); /* "layers[2].cross" and "q": "layers[2].cross.q" */
clf_text clf_name_layer(int32_t layer, const char *part);   /* 2 and "cross": "layers[2].cross" */

/* The same as text that lives to the end of the full expression. */
#define CLF_PART(name, part) (clf_name_part((name), (part)).text)
#define CLF_LAYER(layer, part) (clf_name_layer((layer), (part)).text)

#endif
