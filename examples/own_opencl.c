/* clfusion inside a program that has its own OpenCL context, queue, buffers and events:
 *     own_opencl
 * The program uploads features on a queue of its own; clfusion waits for that event, works on the program's cl_mem on
 * another queue and gives an event that the program's download waits for.  The host waits once, at the end. */
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <stdio.h>
#include <stdlib.h>

#include <clfusion/clfusion.h>

enum { N = 16, DV = 64, DT = 32 };

/* The program's side. */
typedef struct host {
    cl_context context;
    cl_device_id device;
    cl_command_queue copies, work;
    cl_mem vision, tokens;
} host;

static int host_create(host *h)
{
    cl_platform_id platforms[16];
    cl_uint count = 0;
    cl_int e = clGetPlatformIDs(16, platforms, &count);

    for (cl_uint i = 0; e == CL_SUCCESS && i < count && i < 16 && h->device == NULL; i++)
        (void)clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, 1, &h->device, NULL);
    if (h->device == NULL)
        return 0;
    h->context = clCreateContext(NULL, 1, &h->device, NULL, NULL, &e);
    if (h->context == NULL)
        return 0;
    h->copies = clCreateCommandQueue(h->context, h->device, 0, &e);
    h->work = clCreateCommandQueue(h->context, h->device, 0, &e);
    h->vision = clCreateBuffer(h->context, CL_MEM_READ_ONLY, N * DV * sizeof(float), NULL, &e);
    h->tokens = clCreateBuffer(h->context, CL_MEM_READ_WRITE, N * DT * sizeof(float), NULL, &e);
    return h->copies != NULL && h->work != NULL && h->vision != NULL && h->tokens != NULL;
}

static void host_destroy(host *h)
{
    if (h->tokens != NULL)
        clReleaseMemObject(h->tokens);
    if (h->vision != NULL)
        clReleaseMemObject(h->vision);
    if (h->work != NULL)
        clReleaseCommandQueue(h->work);
    if (h->copies != NULL)
        clReleaseCommandQueue(h->copies);
    if (h->context != NULL)
        clReleaseContext(h->context);
}

/* A projector from weights in memory: one Linear whose row n picks channel n, with a bias of 1. */
static clf_status projector_create(clf_context *ctx, clf_projector **p, clf_error *err)
{
    static float weight[DT][DV], bias[DT];

    for (int n = 0; n < DT; n++) {
        weight[n][n] = 1;
        bias[n] = 1;
    }
    clf_projector_desc desc = clf_projector_desc_default();
    desc.layer_count = 1;
    desc.layers[0].weight = (clf_host_tensor){ .data = weight, .dtype = CLF_F32, .rank = 2, .dim = { DT, DV } };
    desc.layers[0].bias = (clf_host_tensor){ .data = bias, .dtype = CLF_F32, .rank = 1, .dim = { DT } };
    return clf_projector_create(ctx, &desc, p, err);
}

/* vision -> tokens between the program's two copies; returns whether the values are right. */
static int forward(const host *h, clf_stream *s, const clf_projector *p, clf_error *err)
{
    static float features[N][DV], got[N][DT];
    cl_event uploaded = NULL, computed = NULL;
    int right = 1;

    for (int i = 0; i < N * DV; i++)
        features[i / DV][i % DV] = (float)i;
    if (clEnqueueWriteBuffer(h->copies, h->vision, CL_FALSE, 0, sizeof features, features, 0, NULL, &uploaded) !=
        CL_SUCCESS)
        return 0;
    clFlush(h->copies);

    clf_stream_wait_events(s, 1, &uploaded);
    clf_projector_forward(s, p, clf_tensor_at(h->vision, 0, CLF_F32, CLF_DIMS(N, DV)),
                          clf_tensor_at(h->tokens, 0, CLF_F32, CLF_DIMS(N, DT)));
    clf_stream_signal(s, &computed);
    if (computed != NULL) /* NULL after an error, which clf_stream_finish returns */
        clEnqueueReadBuffer(h->copies, h->tokens, CL_TRUE, 0, sizeof got, got, 1, &computed, NULL);

    const clf_status status = clf_stream_finish(s, err);
    for (int i = 0; i < N * DT; i++)
        right = right && got[i / DT][i % DT] == features[i / DT][i % DT] + 1;
    if (computed != NULL)
        clReleaseEvent(computed);
    clReleaseEvent(uploaded);
    return status == CLF_OK && right;
}

int main(void)
{
    clf_error err = { 0 };
    clf_context *ctx = NULL;
    clf_stream *s = NULL;
    clf_projector *p = NULL;
    host h = { 0 };
    int right = 0;

    if (!host_create(&h)) {
        fprintf(stderr, "own_opencl: no OpenCL device\n");
        return 1;
    }
    clf_context_desc around = clf_context_desc_default();
    around.cl_context = h.context;
    around.cl_device = h.device;
    clf_stream_desc on = clf_stream_desc_default();
    on.queue = h.work;

    if (clf_context_create(&around, &ctx, &err) == CLF_OK && clf_stream_create(ctx, &on, &s, &err) == CLF_OK &&
        projector_create(ctx, &p, &err) == CLF_OK)
        right = forward(&h, s, p, &err);
    if (err.status != CLF_OK)
        fprintf(stderr, "own_opencl: %s\n", err.message);
    printf("%d tokens of %d values: %s\n", N, DT, right ? "right" : "wrong");

    clf_projector_destroy(p);
    clf_stream_destroy(s);
    clf_context_destroy(ctx);
    host_destroy(&h);
    return !right;
}
