/*
 * ChaCha20-Poly1305 (RFC 8439) by the OpenSSL inside Node, over the job records of the engine's packet memory. The
 * functions are looked up at run time: on a Node that does not export them this part is absent.
 */
#include "udp_batch.h"

#include <dlfcn.h>
#include <string.h>

enum {
  JOBS = 32,
  JOB_BYTES = 64,
  KEY_BYTES = 32,
  NONCE_BYTES = 12,
  TAG_BYTES = 16,
  COUNTER_AT = 32,
  OFFSET_AT = 40,
  LENGTH_AT = 44,
  /* openssl/evp.h */
  CTRL_AEAD_GET_TAG = 0x10,
  CTRL_AEAD_SET_TAG = 0x11,
};

typedef struct {
  void* (*cipher)(void);
  void* (*context_new)(void);
  int (*init)(void* context, const void* cipher, void* engine, const uint8_t* key, const uint8_t* nonce, int sealing);
  int (*update)(void* context, uint8_t* out, int* out_length, const uint8_t* in, int in_length);
  int (*final)(void* context, uint8_t* out, int* out_length);
  int (*ctrl)(void* context, int type, int argument, void* pointer);
} openssl_t;

static openssl_t openssl;
static bool found;
static uv_once_t once = UV_ONCE_INIT;
/* Per thread: the last key stays expanded in them between batches; the engine keeps it too. */
static _Thread_local void* sealing_context;
static _Thread_local void* opening_context;
static _Thread_local uint8_t sealing_key[KEY_BYTES];
static _Thread_local uint8_t opening_key[KEY_BYTES];
static _Thread_local bool prepared;
static _Thread_local bool available;

static void look_up(void) {
  void* const names[] = {
      dlsym(RTLD_DEFAULT, "EVP_chacha20_poly1305"), dlsym(RTLD_DEFAULT, "EVP_CIPHER_CTX_new"),
      dlsym(RTLD_DEFAULT, "EVP_CipherInit_ex"),     dlsym(RTLD_DEFAULT, "EVP_CipherUpdate"),
      dlsym(RTLD_DEFAULT, "EVP_CipherFinal_ex"),    dlsym(RTLD_DEFAULT, "EVP_CIPHER_CTX_ctrl"),
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i] == NULL) return;
  memcpy(&openssl.cipher, &names[0], sizeof(void*));
  memcpy(&openssl.context_new, &names[1], sizeof(void*));
  memcpy(&openssl.init, &names[2], sizeof(void*));
  memcpy(&openssl.update, &names[3], sizeof(void*));
  memcpy(&openssl.final, &names[4], sizeof(void*));
  memcpy(&openssl.ctrl, &names[5], sizeof(void*));
  found = true;
}

static void* new_context(bool sealing) {
  static const uint8_t zeros[KEY_BYTES];
  void* context = openssl.context_new();
  if (context == NULL) return NULL;
  /* Both keys of this thread are zero so far: the initial value for comparing keys. */
  return openssl.init(context, openssl.cipher(), NULL, zeros, zeros, sealing) == 1 ? context : NULL;
}

/* Seals in place; the tag is written behind the text. */
static bool seal_one(const uint8_t* key, const uint8_t nonce[NONCE_BYTES], uint8_t* text, int length) {
  int written = 0;
  const bool same = memcmp(key, sealing_key, KEY_BYTES) == 0;
  if (openssl.init(sealing_context, NULL, NULL, same ? NULL : key, nonce, 1) != 1) return false;
  memcpy(sealing_key, key, KEY_BYTES);
  if (length > 0 && openssl.update(sealing_context, text, &written, text, length) != 1) return false;
  if (openssl.final(sealing_context, text + length, &written) != 1) return false;
  return openssl.ctrl(sealing_context, CTRL_AEAD_GET_TAG, TAG_BYTES, text + length) == 1;
}

static bool open_one(const uint8_t* key, const uint8_t nonce[NONCE_BYTES], uint8_t* text, int length) {
  int written = 0;
  const bool same = memcmp(key, opening_key, KEY_BYTES) == 0;
  bool right = openssl.init(opening_context, NULL, NULL, same ? NULL : key, nonce, 0) == 1;
  memcpy(opening_key, key, KEY_BYTES);
  right = right && openssl.ctrl(opening_context, CTRL_AEAD_SET_TAG, TAG_BYTES, text + length) == 1;
  right = right && (length == 0 || openssl.update(opening_context, text, &written, text, length) == 1);
  right = right && openssl.final(opening_context, text + length, &written) == 1;
  if (!right) memset(text, 0, (size_t)length);
  return right;
}

/* A known answer: 64 zero bytes under the key 00 01 02 … and counter 1, as every implementation of RFC 8439 seals them. */
static bool self_test(void) {
  static const uint8_t first[8] = {0x9f, 0x57, 0xf3, 0x5f, 0xb5, 0x2a, 0xaf, 0x18};
  static const uint8_t tag[TAG_BYTES] = {0x6f, 0xe9, 0xd2, 0xea, 0x0a, 0x6b, 0xc8, 0x44, 0xba, 0xad, 0x53, 0x61, 0x92, 0x06, 0xed, 0xd7};
  uint8_t key[KEY_BYTES];
  const uint8_t nonce[NONCE_BYTES] = {0, 0, 0, 0, 1};
  uint8_t text[64 + TAG_BYTES] = {0};
  uint8_t wrong[64 + TAG_BYTES];
  for (int i = 0; i < KEY_BYTES; i++) key[i] = (uint8_t)i;
  if (!seal_one(key, nonce, text, 64)) return false;
  if (memcmp(text, first, sizeof first) != 0 || memcmp(text + 64, tag, TAG_BYTES) != 0) return false;
  memcpy(wrong, text, sizeof text);
  wrong[3] ^= 1;
  return open_one(key, nonce, text, 64) && !open_one(key, nonce, wrong, 64);
}

bool aead_available(void) {
  if (prepared) return available;
  prepared = true;
  uv_once(&once, look_up);
  if (!found) return false;
  sealing_context = new_context(true);
  opening_context = new_context(false);
  available = sealing_context != NULL && opening_context != NULL && self_test();
  return available;
}

static uint32_t word(const uint8_t* at) {
  return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static bool read_jobs(napi_env env, napi_callback_info info, uint8_t** memory, int32_t* jobs) {
  napi_value values[2];
  size_t length = 0;
  if (!aead_available()) return throw_type(env, "this Node has no ChaCha20-Poly1305 for native modules");
  if (!read_arguments(env, info, 2, values)) return false;
  if (!read_memory(env, values[0], memory, &length)) return false;
  if (!read_int32(env, values[1], "jobs", jobs)) return false;
  if (*jobs < 0 || *jobs > JOBS || length < JOBS * JOB_BYTES) return throw_range(env, "not that many jobs");
  for (int32_t i = 0; i < *jobs; i++) {
    const uint8_t* job = *memory + (size_t)i * JOB_BYTES;
    const uint64_t offset = word(job + OFFSET_AT);
    const uint64_t text = word(job + LENGTH_AT);
    if (offset < JOBS * JOB_BYTES || text > INT32_MAX || offset + text + TAG_BYTES > length)
      return throw_range(env, "a job does not lie within the memory");
  }
  return true;
}

static void read_nonce(const uint8_t* job, uint8_t nonce[NONCE_BYTES]) {
  memset(nonce, 0, 4);
  memcpy(nonce + 4, job + COUNTER_AT, 8);
}

napi_value aead_seal(napi_env env, napi_callback_info info) {
  uint8_t* memory = NULL;
  int32_t jobs = 0;
  uint8_t nonce[NONCE_BYTES];
  if (!read_jobs(env, info, &memory, &jobs)) return NULL;
  bool sealed = true;
  for (int32_t i = 0; i < jobs; i++) {
    const uint8_t* job = memory + (size_t)i * JOB_BYTES;
    read_nonce(job, nonce);
    sealed = seal_one(job, nonce, memory + word(job + OFFSET_AT), (int)word(job + LENGTH_AT)) && sealed;
  }
  explicit_bzero(memory, (size_t)jobs * JOB_BYTES);
  /* Unsealed data must never be sent: the caller's batch ends here. */
  if (!sealed) napi_throw_error(env, NULL, "OpenSSL could not seal");
  return NULL;
}

napi_value aead_open(napi_env env, napi_callback_info info) {
  uint8_t* memory = NULL;
  int32_t jobs = 0;
  uint32_t verdicts = 0;
  uint8_t nonce[NONCE_BYTES];
  if (!read_jobs(env, info, &memory, &jobs)) return NULL;
  for (int32_t i = 0; i < jobs; i++) {
    const uint8_t* job = memory + (size_t)i * JOB_BYTES;
    read_nonce(job, nonce);
    if (open_one(job, nonce, memory + word(job + OFFSET_AT), (int)word(job + LENGTH_AT))) verdicts |= UINT32_C(1) << i;
  }
  explicit_bzero(memory, (size_t)jobs * JOB_BYTES);
  return number_value(env, (int32_t)verdicts);
}
