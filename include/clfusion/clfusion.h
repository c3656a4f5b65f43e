/* clfusion: the fusion layers of vision-language models on any OpenCL device.  This header includes all others. */
#ifndef CLFUSION_CLFUSION_H
#define CLFUSION_CLFUSION_H

#include <clfusion/activation.h>
#include <clfusion/add.h>
#include <clfusion/cast.h>
#include <clfusion/connector.h>
#include <clfusion/context.h>
#include <clfusion/copy.h>
#include <clfusion/device.h>
#include <clfusion/gather.h>
#include <clfusion/l2_norm.h>
#include <clfusion/layer_norm.h>
#include <clfusion/linear.h>
#include <clfusion/llava_fusion.h>
#include <clfusion/memory.h>
#include <clfusion/projector.h>
#include <clfusion/rms_norm.h>
#include <clfusion/scale.h>
#include <clfusion/source.h>
#include <clfusion/splice.h>
#include <clfusion/status.h>
#include <clfusion/stream.h>
#include <clfusion/tensor.h>
#include <clfusion/version.h>

#endif
