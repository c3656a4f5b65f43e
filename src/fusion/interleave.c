/* Times of text and pictures, as Flamingo counts them. */
#include <clfusion/interleave.h>

void clf_text_time(const int64_t *ids, int64_t B, int64_t T, int64_t media_token, int32_t *text_time)
{
    for (int64_t b = 0; b < B; b++) {
        int32_t time = 0;

        for (int64_t t = 0; t < T; t++) {
            time += ids[b * T + t] == media_token;
            text_time[b * T + t] = time;
        }
    }
}

void clf_text_time_after(const int64_t *ids, int64_t B, int64_t P, int64_t media_token, int64_t T, int32_t *text_time)
{
    for (int64_t b = 0; b < B; b++) {
        int32_t time = 0;

        for (int64_t p = 0; p < P; p++)
            time += ids[b * P + p] == media_token;
        for (int64_t t = 0; t < T; t++)
            text_time[b * T + t] = time;
    }
}

void clf_text_time_at(const int64_t *places, int64_t B, int64_t I, int64_t T, int32_t *text_time)
{
    for (int64_t b = 0; b < B; b++) {
        for (int64_t t = 0; t < T; t++) {
            int32_t time = 0;

            for (int64_t i = 0; i < I; i++)
                time += places[b * I + i] <= t;
            text_time[b * T + t] = time;
        }
    }
}

void clf_media_time(int64_t I, int64_t M, int32_t *media_time)
{
    for (int64_t i = 0; i < I; i++)
        for (int64_t m = 0; m < M; m++)
            media_time[i * M + m] = (int32_t)(i + 1);
}
