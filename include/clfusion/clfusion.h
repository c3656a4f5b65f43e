/* clfusion: the fusion layers of vision-language models on any OpenCL device.  This header includes all others. */
#ifndef CLFUSION_CLFUSION_H
#define CLFUSION_CLFUSION_H

#include <clfusion/activation.h>
#include <clfusion/add.h>
#include <clfusion/attention.h>
#include <clfusion/attention_pool.h>
#include <clfusion/cast.h>
#include <clfusion/connector.h>
#include <clfusion/context.h>
#include <clfusion/copy.h>
#include <clfusion/cross_attention.h>
#include <clfusion/cross_mask.h>
#include <clfusion/device.h>
#include <clfusion/diagnose.h>
#include <clfusion/early_fusion.h>
#include <clfusion/gated_unit.h>
#include <clfusion/gather.h>
#include <clfusion/interleave.h>
#include <clfusion/l2_norm.h>
#include <clfusion/layer_norm.h>
#include <clfusion/layers.h>
#include <clfusion/linear.h>
#include <clfusion/llava_fusion.h>
#include <clfusion/memory.h>
#include <clfusion/norm.h>
#include <clfusion/patches.h>
#include <clfusion/projector.h>
#include <clfusion/qformer.h>
#include <clfusion/resampler.h>
#include <clfusion/rms_norm.h>
#include <clfusion/scale.h>
#include <clfusion/similarity.h>
#include <clfusion/source.h>
#include <clfusion/splice.h>
#include <clfusion/status.h>
#include <clfusion/stream.h>
#include <clfusion/tensor.h>
#include <clfusion/version.h>

#endif
