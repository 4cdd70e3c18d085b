/*
 * The ciphers of SSH packets by the OpenSSL inside Node: AES-GCM (RFC 5647) and chacha20-poly1305@openssh.com
 * (PROTOCOL.chacha20poly1305). A packet is its length (4 bytes), the text and a tag of 16 bytes. AES-GCM leaves the length
 * readable and authenticates it; ChaCha20 seals it under a key of its own.
 *
 * A cipher is for one key and one direction. Its keys stay expanded in contexts of OpenSSL, which wipes them when the
 * JavaScript object is collected or closed.
 */
#include "udp_batch.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum {
  LENGTH_BYTES = 4,
  TAG_BYTES = 16,
  GCM_NONCE_BYTES = 12,
  SEQUENCE_BYTES = 8,
  CHACHA_KEY_BYTES = 32,
  CHACHA_NONCE_BYTES = 16,
  /* openssl/evp.h */
  CTRL_AEAD_GET_TAG = 0x10,
  CTRL_AEAD_SET_TAG = 0x11,
};

typedef enum { AES_128_GCM = 0, AES_256_GCM = 1, CHACHA20_POLY1305 = 2 } kind_t;

typedef struct {
  kind_t kind;
  bool sealing;
  /* The parts of a packet are being opened. */
  bool started;
  /* AES-GCM, or ChaCha20 under the key of texts. */
  void* context;
  /* ChaCha20 under the key of lengths, and Poly1305. */
  void* length_context;
  void* mac_context;
  size_t nonce_bytes;
} ssh_cipher_t;

typedef struct {
  void* (*aes_128_gcm)(void);
  void* (*aes_256_gcm)(void);
  void* (*chacha20)(void);
  void* (*context_new)(void);
  void (*context_free)(void* context);
  int (*init)(void* context, const void* cipher, void* engine, const uint8_t* key, const uint8_t* nonce, int sealing);
  int (*update)(void* context, uint8_t* out, int* out_length, const uint8_t* in, int in_length);
  int (*final)(void* context, uint8_t* out, int* out_length);
  int (*ctrl)(void* context, int type, int argument, void* pointer);
  void* (*mac_fetch)(void* library, const char* name, const char* properties);
  void* (*mac_new)(void* mac);
  void (*mac_free)(void* context);
  int (*mac_init)(void* context, const uint8_t* key, size_t length, const void* parameters);
  int (*mac_update)(void* context, const uint8_t* bytes, size_t length);
  int (*mac_final)(void* context, uint8_t* out, size_t* out_length, size_t out_size);
} openssl_t;

static openssl_t openssl;
static void* poly1305;
static bool found;
static uv_once_t once = UV_ONCE_INIT;
static const napi_type_tag CIPHER_TAG = {0x5cba3a6e19f24d07, 0x9e1f60d7a3c84b52};

static bool look_up_one(void** target, const char* name) {
  void* const address = dlsym(RTLD_DEFAULT, name);
  if (address != NULL) memcpy(target, &address, sizeof address);
  return address != NULL;
}

static void look_up(void) {
  const struct {
    void* target;
    const char* name;
  } wanted[] = {
      {&openssl.aes_128_gcm, "EVP_aes_128_gcm"},    {&openssl.aes_256_gcm, "EVP_aes_256_gcm"},
      {&openssl.chacha20, "EVP_chacha20"},          {&openssl.context_new, "EVP_CIPHER_CTX_new"},
      {&openssl.context_free, "EVP_CIPHER_CTX_free"}, {&openssl.init, "EVP_CipherInit_ex"},
      {&openssl.update, "EVP_CipherUpdate"},        {&openssl.final, "EVP_CipherFinal_ex"},
      {&openssl.ctrl, "EVP_CIPHER_CTX_ctrl"},       {&openssl.mac_fetch, "EVP_MAC_fetch"},
      {&openssl.mac_new, "EVP_MAC_CTX_new"},        {&openssl.mac_free, "EVP_MAC_CTX_free"},
      {&openssl.mac_init, "EVP_MAC_init"},          {&openssl.mac_update, "EVP_MAC_update"},
      {&openssl.mac_final, "EVP_MAC_final"},
  };
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
    if (!look_up_one(wanted[i].target, wanted[i].name)) return;
  poly1305 = openssl.mac_fetch(NULL, "POLY1305", NULL);
  found = poly1305 != NULL;
}

static void release(ssh_cipher_t* cipher) {
  if (cipher->context != NULL) openssl.context_free(cipher->context);
  if (cipher->length_context != NULL) openssl.context_free(cipher->length_context);
  if (cipher->mac_context != NULL) openssl.mac_free(cipher->mac_context);
  cipher->context = cipher->length_context = cipher->mac_context = NULL;
}

static size_t key_bytes(kind_t kind) {
  return kind == AES_128_GCM ? 16 : kind == AES_256_GCM ? 32 : 2 * CHACHA_KEY_BYTES;
}

/* False if OpenSSL refused; the caller releases what was allocated. */
static bool prepare(ssh_cipher_t* cipher, kind_t kind, bool sealing, const uint8_t* key) {
  memset(cipher, 0, sizeof *cipher);
  cipher->kind = kind;
  cipher->sealing = sealing;
  cipher->nonce_bytes = kind == CHACHA20_POLY1305 ? SEQUENCE_BYTES : GCM_NONCE_BYTES;
  cipher->context = openssl.context_new();
  if (cipher->context == NULL) return false;
  if (kind != CHACHA20_POLY1305) {
    const void* algorithm = kind == AES_128_GCM ? openssl.aes_128_gcm() : openssl.aes_256_gcm();
    return openssl.init(cipher->context, algorithm, NULL, key, NULL, sealing) == 1;
  }
  cipher->length_context = openssl.context_new();
  cipher->mac_context = openssl.mac_new(poly1305);
  return cipher->length_context != NULL && cipher->mac_context != NULL &&
         openssl.init(cipher->context, openssl.chacha20(), NULL, key, NULL, 1) == 1 &&
         openssl.init(cipher->length_context, openssl.chacha20(), NULL, key + CHACHA_KEY_BYTES, NULL, 1) == 1;
}

static bool apply(void* context, const uint8_t* in, size_t length, uint8_t* out) {
  int written = 0;
  return length == 0 || openssl.update(context, out, &written, in, (int)length) == 1;
}

/* The length under its own key; sealing and opening are the same. */
static bool chacha_length(ssh_cipher_t* cipher, const uint8_t* nonce, const uint8_t in[LENGTH_BYTES], uint8_t out[LENGTH_BYTES]) {
  uint8_t counter_and_nonce[CHACHA_NONCE_BYTES] = {0};
  memcpy(counter_and_nonce + 8, nonce, SEQUENCE_BYTES);
  return openssl.init(cipher->length_context, NULL, NULL, NULL, counter_and_nonce, 1) == 1 &&
         apply(cipher->length_context, in, LENGTH_BYTES, out);
}

/* Block 0 of the text's key stream is the key of Poly1305, the text begins with block 1. */
static bool chacha_start(ssh_cipher_t* cipher, const uint8_t* nonce) {
  static const uint8_t zeros[64];
  uint8_t block[64];
  uint8_t counter_and_nonce[CHACHA_NONCE_BYTES] = {0};
  memcpy(counter_and_nonce + 8, nonce, SEQUENCE_BYTES);
  const bool started = openssl.init(cipher->context, NULL, NULL, NULL, counter_and_nonce, 1) == 1 &&
                       apply(cipher->context, zeros, sizeof block, block) &&
                       openssl.mac_init(cipher->mac_context, block, CHACHA_KEY_BYTES, NULL) == 1;
  explicit_bzero(block, sizeof block);
  return started;
}

/* `length` is as it goes over the wire. */
static bool start_packet(ssh_cipher_t* cipher, const uint8_t* nonce, const uint8_t length[LENGTH_BYTES]) {
  if (cipher->kind == CHACHA20_POLY1305)
    return chacha_start(cipher, nonce) && openssl.mac_update(cipher->mac_context, length, LENGTH_BYTES) == 1;
  int written = 0;
  return openssl.init(cipher->context, NULL, NULL, NULL, nonce, cipher->sealing) == 1 &&
         openssl.update(cipher->context, NULL, &written, length, LENGTH_BYTES) == 1;
}

static bool open_text(ssh_cipher_t* cipher, const uint8_t* in, size_t length, uint8_t* out) {
  if (cipher->kind == CHACHA20_POLY1305 && openssl.mac_update(cipher->mac_context, in, length) != 1) return false;
  return apply(cipher->context, in, length, out);
}

static bool equal(const uint8_t* a, const uint8_t* b) {
  volatile uint8_t difference = 0; /* volatile, so that the compiler cannot leave out a byte */
  for (size_t i = 0; i < TAG_BYTES; i++) difference = difference | (a[i] ^ b[i]);
  return difference == 0;
}

static bool right_tag(ssh_cipher_t* cipher, const uint8_t tag[TAG_BYTES]) {
  uint8_t calculated[TAG_BYTES];
  size_t size = 0;
  int written = 0;
  if (cipher->kind == CHACHA20_POLY1305)
    return openssl.mac_final(cipher->mac_context, calculated, &size, TAG_BYTES) == 1 && size == TAG_BYTES && equal(calculated, tag);
  return openssl.ctrl(cipher->context, CTRL_AEAD_SET_TAG, TAG_BYTES, (void*)tag) == 1 &&
         openssl.final(cipher->context, calculated, &written) == 1;
}

/* In place: length, text, room for the tag. */
static bool seal_packet(ssh_cipher_t* cipher, const uint8_t* nonce, uint8_t* packet, size_t text_bytes) {
  uint8_t* const text = packet + LENGTH_BYTES;
  uint8_t* const tag = text + text_bytes;
  size_t size = 0;
  int written = 0;
  if (cipher->kind == CHACHA20_POLY1305)
    return chacha_length(cipher, nonce, packet, packet) && start_packet(cipher, nonce, packet) &&
           apply(cipher->context, text, text_bytes, text) && openssl.mac_update(cipher->mac_context, text, text_bytes) == 1 &&
           openssl.mac_final(cipher->mac_context, tag, &size, TAG_BYTES) == 1 && size == TAG_BYTES;
  return start_packet(cipher, nonce, packet) && apply(cipher->context, text, text_bytes, text) &&
         openssl.final(cipher->context, tag, &written) == 1 &&
         openssl.ctrl(cipher->context, CTRL_AEAD_GET_TAG, TAG_BYTES, tag) == 1;
}

/* Zeros under a key of 00 01 02 …, and the tags that other implementations give them. */
static bool known_answer(kind_t kind, const uint8_t first[8], const uint8_t tag[TAG_BYTES]) {
  uint8_t key[2 * CHACHA_KEY_BYTES];
  const uint8_t nonce[GCM_NONCE_BYTES] = {0};
  uint8_t packet[LENGTH_BYTES + 64 + TAG_BYTES] = {0, 0, 0, 64};
  uint8_t text[64];
  ssh_cipher_t sealer;
  ssh_cipher_t opener = {0};
  for (size_t i = 0; i < sizeof key; i++) key[i] = (uint8_t)i;
  bool right = prepare(&sealer, kind, true, key) && prepare(&opener, kind, false, key) && seal_packet(&sealer, nonce, packet, 64) &&
               memcmp(packet + LENGTH_BYTES, first, 8) == 0 && memcmp(packet + LENGTH_BYTES + 64, tag, TAG_BYTES) == 0;
  for (int wrong = 0; right && wrong < 2; wrong++) {
    packet[LENGTH_BYTES + 5] ^= (uint8_t)wrong;
    const bool opened = start_packet(&opener, nonce, packet) && open_text(&opener, packet + LENGTH_BYTES, 64, text) &&
                        right_tag(&opener, packet + LENGTH_BYTES + 64);
    right = opened == (wrong == 0);
  }
  release(&sealer);
  release(&opener);
  return right;
}

bool ssh_ciphers_available(void) {
  static _Thread_local bool tested;
  static _Thread_local bool right;
  uv_once(&once, look_up);
  if (!found || tested) return right;
  tested = true;
  static const uint8_t aes_128[8] = {0x49, 0xd6, 0x87, 0x53, 0x99, 0x9b, 0xa6, 0x8c};
  static const uint8_t aes_128_tag[TAG_BYTES] = {0x58, 0x2d, 0x6c, 0x84, 0xca, 0x25, 0xb2, 0x10, 0x7f, 0x6f, 0x54, 0x68, 0xd6, 0xa6, 0x3d, 0x1c};
  static const uint8_t aes_256[8] = {0x0e, 0xbc, 0xb5, 0xde, 0xb5, 0x2c, 0x83, 0xbd};
  static const uint8_t aes_256_tag[TAG_BYTES] = {0xcd, 0x5d, 0x69, 0x15, 0x7e, 0xa2, 0x12, 0x54, 0x57, 0x4b, 0xda, 0xee, 0x9b, 0x08, 0x40, 0x62};
  static const uint8_t chacha[8] = {0x18, 0xb8, 0x42, 0x31, 0xad, 0xe6, 0xa6, 0xd1};
  static const uint8_t chacha_tag[TAG_BYTES] = {0x7e, 0x48, 0xde, 0x4b, 0xe8, 0xec, 0x4c, 0x8d, 0x89, 0x09, 0x00, 0x93, 0xf5, 0x05, 0x66, 0xe4};
  right = known_answer(AES_128_GCM, aes_128, aes_128_tag) && known_answer(AES_256_GCM, aes_256, aes_256_tag) &&
          known_answer(CHACHA20_POLY1305, chacha, chacha_tag);
  return right;
}

static void finalize(napi_env env, void* data, void* hint) {
  release(data);
  free(data);
}

static bool read_cipher(napi_env env, napi_value value, ssh_cipher_t** out) {
  bool ours = false;
  void* data = NULL;
  if (napi_check_object_type_tag(env, value, &CIPHER_TAG, &ours) != napi_ok || !ours) return throw_type(env, "not an SSH cipher");
  if (!check_status(env, napi_unwrap(env, value, &data))) return false;
  *out = data;
  return (*out)->context != NULL || throw_type(env, "the SSH cipher is closed");
}

static bool read_nonce(napi_env env, napi_value value, const ssh_cipher_t* cipher, uint8_t** nonce) {
  size_t length = 0;
  if (!read_uint8_array(env, value, "nonce", nonce, &length)) return false;
  return length == cipher->nonce_bytes || throw_range(env, "the nonce has another length");
}

/* `count` bytes at `at` of the array. */
static bool read_part(napi_env env, napi_value array, napi_value at_value, size_t count, const char* name, uint8_t** out) {
  uint8_t* bytes = NULL;
  size_t length = 0;
  int32_t at = 0;
  if (!read_uint8_array(env, array, name, &bytes, &length) || !read_int32(env, at_value, "offset", &at)) return false;
  if (at < 0 || (size_t)at > length || count > length - (size_t)at) return throw_range(env, "a part does not lie within its array");
  *out = bytes + at;
  return true;
}

static napi_value boolean_value(napi_env env, bool value) {
  napi_value out = NULL;
  return check_status(env, napi_get_boolean(env, value, &out)) ? out : NULL;
}

napi_value ssh_cipher_create(napi_env env, napi_callback_info info) {
  napi_value values[3];
  int32_t kind = 0;
  int32_t sealing = 0;
  uint8_t* key = NULL;
  size_t length = 0;
  napi_value object = NULL;
  if (!ssh_ciphers_available()) return throw_type(env, "this Node has no SSH ciphers for native modules"), NULL;
  if (!read_arguments(env, info, 3, values) || !read_int32(env, values[0], "kind", &kind) ||
      !read_uint8_array(env, values[1], "key", &key, &length) || !read_int32(env, values[2], "sealing", &sealing))
    return NULL;
  if (kind < AES_128_GCM || kind > CHACHA20_POLY1305) return throw_range(env, "no such SSH cipher"), NULL;
  if (length != key_bytes((kind_t)kind)) return throw_range(env, "the key has another length"), NULL;
  ssh_cipher_t* cipher = calloc(1, sizeof *cipher);
  if (cipher == NULL) return throw_type(env, "no memory for an SSH cipher"), NULL;
  if (!prepare(cipher, (kind_t)kind, sealing != 0, key)) {
    finalize(env, cipher, NULL);
    return throw_type(env, "OpenSSL refused the SSH cipher"), NULL;
  }
  if (!check_status(env, napi_create_object(env, &object)) ||
      !check_status(env, napi_wrap(env, object, cipher, finalize, NULL, NULL))) {
    finalize(env, cipher, NULL);
    return NULL;
  }
  return check_status(env, napi_type_tag_object(env, object, &CIPHER_TAG)) ? object : NULL;
}

napi_value ssh_cipher_close(napi_env env, napi_callback_info info) {
  napi_value values[1];
  bool ours = false;
  void* data = NULL;
  if (!read_arguments(env, info, 1, values)) return NULL;
  if (napi_check_object_type_tag(env, values[0], &CIPHER_TAG, &ours) != napi_ok || !ours)
    return throw_type(env, "not an SSH cipher"), NULL;
  if (check_status(env, napi_unwrap(env, values[0], &data))) release(data);
  return NULL;
}

/* (cipher, nonce, packet) */
napi_value ssh_cipher_seal(napi_env env, napi_callback_info info) {
  napi_value values[3];
  ssh_cipher_t* cipher = NULL;
  uint8_t* nonce = NULL;
  uint8_t* packet = NULL;
  size_t length = 0;
  if (!read_arguments(env, info, 3, values) || !read_cipher(env, values[0], &cipher) ||
      !read_nonce(env, values[1], cipher, &nonce) || !read_uint8_array(env, values[2], "packet", &packet, &length))
    return NULL;
  if (!cipher->sealing) return throw_type(env, "the SSH cipher opens"), NULL;
  if (length < LENGTH_BYTES + TAG_BYTES || length > INT32_MAX) return throw_range(env, "the packet has no room for its tag"), NULL;
  /* An unsealed packet must never be sent. */
  if (!seal_packet(cipher, nonce, packet, length - LENGTH_BYTES - TAG_BYTES)) napi_throw_error(env, NULL, "OpenSSL could not seal");
  return NULL;
}

/* (cipher, nonce, bytes, at): the length of the packet that begins there, which is not authentic yet */
napi_value ssh_cipher_length(napi_env env, napi_callback_info info) {
  napi_value values[4];
  ssh_cipher_t* cipher = NULL;
  uint8_t* nonce = NULL;
  uint8_t* sealed = NULL;
  uint8_t plain[LENGTH_BYTES];
  napi_value out = NULL;
  if (!read_arguments(env, info, 4, values) || !read_cipher(env, values[0], &cipher) ||
      !read_nonce(env, values[1], cipher, &nonce) || !read_part(env, values[2], values[3], LENGTH_BYTES, "bytes", &sealed))
    return NULL;
  memcpy(plain, sealed, LENGTH_BYTES);
  if (cipher->kind == CHACHA20_POLY1305 && !chacha_length(cipher, nonce, sealed, plain))
    return throw_type(env, "OpenSSL could not open"), NULL;
  const uint32_t length = (uint32_t)plain[0] << 24 | (uint32_t)plain[1] << 16 | (uint32_t)plain[2] << 8 | (uint32_t)plain[3];
  return check_status(env, napi_create_uint32(env, length, &out)) ? out : NULL;
}

/* (cipher, nonce, bytes, at): begins a packet whose length lies at `at` */
napi_value ssh_cipher_start(napi_env env, napi_callback_info info) {
  napi_value values[4];
  ssh_cipher_t* cipher = NULL;
  uint8_t* nonce = NULL;
  uint8_t* length = NULL;
  if (!read_arguments(env, info, 4, values) || !read_cipher(env, values[0], &cipher) ||
      !read_nonce(env, values[1], cipher, &nonce) || !read_part(env, values[2], values[3], LENGTH_BYTES, "bytes", &length))
    return NULL;
  if (cipher->sealing) return throw_type(env, "the SSH cipher seals"), NULL;
  cipher->started = start_packet(cipher, nonce, length);
  if (!cipher->started) napi_throw_error(env, NULL, "OpenSSL could not open");
  return NULL;
}

/* (cipher, bytes, at, count, text, text_at): the next bytes of a packet that was started */
napi_value ssh_cipher_continue(napi_env env, napi_callback_info info) {
  napi_value values[6];
  ssh_cipher_t* cipher = NULL;
  uint8_t* in = NULL;
  uint8_t* out = NULL;
  int32_t count = 0;
  if (!read_arguments(env, info, 6, values) || !read_cipher(env, values[0], &cipher) || !read_int32(env, values[3], "count", &count))
    return NULL;
  if (count < 0) return throw_range(env, "the count is negative"), NULL;
  if (!read_part(env, values[1], values[2], (size_t)count, "bytes", &in) ||
      !read_part(env, values[4], values[5], (size_t)count, "text", &out))
    return NULL;
  if (!cipher->started) return throw_type(env, "no packet was started"), NULL;
  if (!open_text(cipher, in, (size_t)count, out)) napi_throw_error(env, NULL, "OpenSSL could not open");
  return NULL;
}

/* (cipher, tag, at): ends a packet that was started */
napi_value ssh_cipher_end(napi_env env, napi_callback_info info) {
  napi_value values[3];
  ssh_cipher_t* cipher = NULL;
  uint8_t* tag = NULL;
  if (!read_arguments(env, info, 3, values) || !read_cipher(env, values[0], &cipher) ||
      !read_part(env, values[1], values[2], TAG_BYTES, "tag", &tag))
    return NULL;
  if (!cipher->started) return throw_type(env, "no packet was started"), NULL;
  cipher->started = false;
  return boolean_value(env, right_tag(cipher, tag));
}

/* (cipher, nonce, bytes, at, text): a whole packet at once, of as much text as there is room for */
napi_value ssh_cipher_open(napi_env env, napi_callback_info info) {
  napi_value values[5];
  ssh_cipher_t* cipher = NULL;
  uint8_t* nonce = NULL;
  uint8_t* packet = NULL;
  uint8_t* text = NULL;
  size_t count = 0;
  if (!read_arguments(env, info, 5, values) || !read_cipher(env, values[0], &cipher) ||
      !read_nonce(env, values[1], cipher, &nonce) || !read_uint8_array(env, values[4], "text", &text, &count))
    return NULL;
  if (cipher->sealing) return throw_type(env, "the SSH cipher seals"), NULL;
  if (count > INT32_MAX - LENGTH_BYTES - TAG_BYTES) return throw_range(env, "the packet is too long"), NULL;
  if (!read_part(env, values[2], values[3], LENGTH_BYTES + count + TAG_BYTES, "bytes", &packet)) return NULL;
  cipher->started = false;
  const bool right = start_packet(cipher, nonce, packet) && open_text(cipher, packet + LENGTH_BYTES, count, text) &&
                     right_tag(cipher, packet + LENGTH_BYTES + count);
  if (!right) memset(text, 0, count);
  return boolean_value(env, right);
}
