/* CLF_API marks what the library exports; everything else is hidden. */
#ifndef CLFUSION_EXPORT_H
#define CLFUSION_EXPORT_H

#if defined(_WIN32) && defined(CLF_BUILD_SHARED)
#define CLF_API __declspec(dllexport)
#elif defined(__GNUC__)
#define CLF_API __attribute__((visibility("default")))
#else
#define CLF_API
#endif

#if defined(__GNUC__)
#define CLF_MUST_USE __attribute__((warn_unused_result))
#define CLF_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define CLF_MUST_USE
#define CLF_PRINTF(text, first)
#endif

#ifdef __cplusplus
#define CLF_BEGIN_DECLS extern "C" {
#define CLF_END_DECLS }
#else
#define CLF_BEGIN_DECLS
#define CLF_END_DECLS
#endif

#endif
