/* Program binaries on disk.
 *
 * Record: magic, format version, total bytes, SHA-256 of the key material, payload bytes, SHA-256 of the payload, payload.
 * Key material: every source text, the options, platform and device name, device and driver version, our version, the
 * width of a pointer.  A driver may crash on a damaged binary (pocl 3.1 does), so everything is compared before
 * clCreateProgramWithBinary.  The folder and the file must belong to this user and be writable by nobody else. */
#include "runtime/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sha2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <clfusion/version.h>

#include "core/alloc.h"
#include "core/log.h"
#include "core/text.h"

#define MAGIC "CLFPROG"
#define FORMAT 1U
#define PAYLOAD_LIMIT (256U << 20)

typedef struct record_head {
    char magic[8];
    uint32_t format;
    uint32_t pointer_bits;
    uint64_t total_bytes;
    uint8_t key[SHA256_DIGEST_LENGTH];
    uint64_t payload_bytes;
    uint8_t payload_digest[SHA256_DIGEST_LENGTH];
} record_head;

static void digest_part(SHA2_CTX *sha, const void *part, size_t bytes)
{
    const uint64_t length = bytes; /* the length keeps "ab", "c" apart from "a", "bc" */

    SHA256Update(sha, (const uint8_t *)&length, sizeof length);
    SHA256Update(sha, part, bytes);
}

static void digest_key(const clf_context *ctx, const char *const texts[CLF_PROGRAM_PARTS],
                       const size_t bytes[CLF_PROGRAM_PARTS], const char *options, uint8_t key[SHA256_DIGEST_LENGTH])
{
    const char *const names[] = { options,          ctx->info.platform_name, ctx->info.name, ctx->info.version,
                                  ctx->info.driver, ctx->info.vendor,        clf_version() };
    char platform_version[128] = { 0 };
    SHA2_CTX sha;

    SHA256Init(&sha);
    for (size_t i = 0; i < CLF_PROGRAM_PARTS; i++)
        digest_part(&sha, texts[i], bytes[i]);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        digest_part(&sha, names[i], strlen(names[i]));
    if (clf_cl()->GetPlatformInfo(ctx->platform, CL_PLATFORM_VERSION, sizeof platform_version - 1, platform_version,
                                  NULL) != CL_SUCCESS)
        platform_version[0] = '\0';
    digest_part(&sha, platform_version, strlen(platform_version));
    SHA256Final(key, &sha);
}

static void digest_payload(const void *payload, size_t bytes, uint8_t digest[SHA256_DIGEST_LENGTH])
{
    SHA2_CTX sha;

    SHA256Init(&sha);
    SHA256Update(&sha, payload, bytes);
    SHA256Final(digest, &sha);
}

static record_head head_for(const uint8_t key[SHA256_DIGEST_LENGTH], const void *payload, size_t bytes)
{
    record_head head = { .magic = MAGIC, .format = FORMAT, .pointer_bits = 8 * sizeof(void *) };

    head.total_bytes = sizeof head + bytes;
    head.payload_bytes = bytes;
    memcpy(head.key, key, sizeof head.key);
    digest_payload(payload, bytes, head.payload_digest);
    return head;
}

/* Ours alone: belongs to this user, nobody else may write. */
static bool private_to_us(int fd, mode_t type)
{
    struct stat st;

    return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type && st.st_uid == geteuid() &&
           (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static int open_folder(const clf_context *ctx)
{
    const int fd = open(ctx->cache_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0 && private_to_us(fd, S_IFDIR))
        return fd;
    clf_log("program cache %s is not used: want an existing folder of this user that nobody else may write",
            ctx->cache_dir);
    if (fd >= 0)
        close(fd);
    return -1;
}

static void file_name(const uint8_t key[SHA256_DIGEST_LENGTH], char name[80])
{
    for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++)
        clf_format(name + 2 * i, 80 - 2 * i, "%02x", key[i]);
    clf_format(name + 2 * SHA256_DIGEST_LENGTH, 8, ".clfbin");
}

static bool read_all(int fd, void *memory, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        const ssize_t got = read(fd, (char *)memory + done, bytes - done);

        if (got <= 0 && !(got < 0 && errno == EINTR))
            return false;
        done += got > 0 ? (size_t)got : 0;
    }
    return true;
}

static bool write_all(int fd, const void *memory, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        const ssize_t put = write(fd, (const char *)memory + done, bytes - done);

        if (put < 0 && errno != EINTR)
            return false;
        done += put > 0 ? (size_t)put : 0;
    }
    return true;
}

/* The payload of a record that passes every comparison; NULL otherwise. */
static void *read_record(int fd, const uint8_t key[SHA256_DIGEST_LENGTH], size_t *bytes)
{
    record_head head, want;
    struct stat st;
    void *payload;

    if (!private_to_us(fd, S_IFREG) || fstat(fd, &st) != 0 || !read_all(fd, &head, sizeof head) ||
        head.payload_bytes == 0 || head.payload_bytes > PAYLOAD_LIMIT ||
        (uint64_t)st.st_size != sizeof head + head.payload_bytes)
        return NULL;
    *bytes = (size_t)head.payload_bytes;
    payload = clf_alloc(*bytes, 1);
    if (payload != NULL && read_all(fd, payload, *bytes)) {
        want = head_for(key, payload, *bytes);
        if (memcmp(&want, &head, sizeof head) == 0)
            return payload;
    }
    clf_free(payload);
    return NULL;
}

static cl_program program_from(clf_context *ctx, const void *payload, size_t bytes, const char *options)
{
    const unsigned char *binary = payload;
    cl_int status = CL_SUCCESS, code = CL_SUCCESS;
    cl_program program = clf_cl()->CreateProgramWithBinary(ctx->cl, 1, &ctx->device, &bytes, &binary, &status, &code);

    if (code != CL_SUCCESS || program == NULL)
        return NULL;
    if (status == CL_SUCCESS && clf_cl()->BuildProgram(program, 1, &ctx->device, options, NULL, NULL) == CL_SUCCESS)
        return program;
    clf_cl()->ReleaseProgram(program);
    return NULL;
}

cl_program clf_cache_load(clf_context *ctx, const char *const texts[CLF_PROGRAM_PARTS],
                          const size_t bytes[CLF_PROGRAM_PARTS], const char *options)
{
    uint8_t key[SHA256_DIGEST_LENGTH];
    char name[80];
    size_t payload_bytes = 0;
    void *payload = NULL;
    cl_program program = NULL;
    const int folder = open_folder(ctx);
    int fd = -1;

    if (folder < 0)
        return NULL;
    digest_key(ctx, texts, bytes, options, key);
    file_name(key, name);
    fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        payload = read_record(fd, key, &payload_bytes);
    if (payload != NULL)
        program = program_from(ctx, payload, payload_bytes, options);
    else if (fd >= 0)
        clf_log("program cache: %s/%s is damaged or another's; building from source", ctx->cache_dir, name);
    clf_free(payload);
    if (fd >= 0)
        close(fd);
    close(folder);
    return program;
}

/* The device's binary of a built program; NULL when the driver gives none. */
static unsigned char *binary_of(cl_program program, size_t *bytes)
{
    unsigned char *binary;

    *bytes = 0;
    if (clf_cl()->GetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof *bytes, bytes, NULL) != CL_SUCCESS ||
        *bytes == 0 || *bytes > PAYLOAD_LIMIT || (binary = clf_alloc(*bytes, 1)) == NULL)
        return NULL;
    if (clf_cl()->GetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) == CL_SUCCESS)
        return binary;
    clf_free(binary);
    return NULL;
}

static bool write_record(int folder, const char *name, const record_head *head, const void *payload)
{
    static atomic_uint counter; /* keeps the temporary names of two threads apart */
    char temporary[120];
    bool written;
    int fd;

    clf_format(temporary, sizeof temporary, ".%.16s-%ld-%u", name, (long)getpid(), atomic_fetch_add(&counter, 1U));
    fd = openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    written = write_all(fd, head, sizeof *head) && write_all(fd, payload, (size_t)head->payload_bytes);
    written = close(fd) == 0 && written && renameat(folder, temporary, folder, name) == 0;
    if (!written)
        unlinkat(folder, temporary, 0);
    return written;
}

void clf_cache_store(clf_context *ctx, const char *const texts[CLF_PROGRAM_PARTS],
                     const size_t bytes[CLF_PROGRAM_PARTS], const char *options, cl_program program)
{
    uint8_t key[SHA256_DIGEST_LENGTH];
    char name[80];
    size_t payload_bytes;
    unsigned char *payload;
    record_head head;
    const int folder = open_folder(ctx);

    if (folder < 0)
        return;
    payload = binary_of(program, &payload_bytes);
    if (payload != NULL) {
        digest_key(ctx, texts, bytes, options, key);
        file_name(key, name);
        head = head_for(key, payload, payload_bytes);
        if (!write_record(folder, name, &head, payload))
            clf_log("program cache: cannot write %s/%s; going on without", ctx->cache_dir, name);
    }
    clf_free(payload);
    close(folder);
}
