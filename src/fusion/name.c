/* Names of the parts of a description. */
#include "fusion/name.h"

clf_text clf_name_part(const char *name, const char *part)
{
    clf_text t;

    clf_format(t.text, sizeof t.text, "%s.%s", name, part);
    return t;
}

clf_text clf_name_layer(int32_t layer, const char *part)
{
    clf_text t;

    clf_format(t.text, sizeof t.text, "layers[%d].%s", (int)layer, part);
    return t;
}
