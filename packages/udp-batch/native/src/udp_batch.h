/* Node-API module: batched UDP over an engine's packet memory, its AEAD, and ciphers of SSH packets. One thread: the loop's. */
#ifndef UDP_BATCH_H
#define UDP_BATCH_H

#include <netinet/in.h>
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

enum {
  ADDRESS_BYTES = 20,
  RECORD_WORDS = 3,
  MORE = 0x10000,
  /* Datagrams of one receive or send call. */
  MAX_RECORDS = 4096,
  /* Received at once: each may be 64 KiB of coalesced segments. */
  RECEIVE_MESSAGES = 4,
  RECEIVE_BYTES = 65536,
  /* One call takes no more from the kernel after this much: it should still be in the cache when it is opened. */
  RECEIVE_ENOUGH_BYTES = 131072,
};

typedef struct {
  struct sockaddr_storage from;
  size_t length;
  /* Bytes of each coalesced segment but the last; the whole length when nothing was coalesced. */
  size_t segment;
  size_t next;
  bool truncated;
} received_t;

typedef struct {
  uv_poll_t poll;
  napi_env env;
  napi_ref memory_ref;
  napi_ref readable_ref;
  napi_ref writable_ref;
  napi_async_context context;
  napi_async_cleanup_hook_handle cleanup;
  uint8_t* memory;
  size_t memory_length;
  int fd;
  int family;
  int events;
  bool polling;
  bool closed;
  /* The JavaScript object was collected. */
  bool collected;
  /* libuv's handle is closed. */
  bool detached;
  bool has_gso;
  /* Received, but not yet copied into a slot. */
  uint8_t* buffers;
  received_t received[RECEIVE_MESSAGES];
  int received_count;
  int received_at;
  /* The last datagrams were large, and each came by itself: the next ones are received where they belong. */
  bool large;
} udp_socket_t;

/* arguments.c: each returns false with a JavaScript exception pending. */
bool check_status(napi_env env, napi_status status);
bool read_arguments(napi_env env, napi_callback_info info, size_t count, napi_value* values);
bool read_int32(napi_env env, napi_value value, const char* name, int32_t* out);
bool read_memory(napi_env env, napi_value value, uint8_t** bytes, size_t* length);
bool read_int32_array(napi_env env, napi_value value, const char* name, int32_t** words, size_t* count);
bool read_uint8_array(napi_env env, napi_value value, const char* name, uint8_t** bytes, size_t* length);
bool throw_range(napi_env env, const char* message);
bool throw_type(napi_env env, const char* message);
bool throw_errno(napi_env env, int error, const char* what);
napi_value number_value(napi_env env, int32_t value);

/* aead.c */
bool aead_available(void);
napi_value aead_seal(napi_env env, napi_callback_info info);
napi_value aead_open(napi_env env, napi_callback_info info);

/* ssh_cipher.c */
bool ssh_ciphers_available(void);
napi_value ssh_cipher_create(napi_env env, napi_callback_info info);
napi_value ssh_cipher_close(napi_env env, napi_callback_info info);
napi_value ssh_cipher_seal(napi_env env, napi_callback_info info);
napi_value ssh_cipher_length(napi_env env, napi_callback_info info);
napi_value ssh_cipher_start(napi_env env, napi_callback_info info);
napi_value ssh_cipher_continue(napi_env env, napi_callback_info info);
napi_value ssh_cipher_end(napi_env env, napi_callback_info info);
napi_value ssh_cipher_open(napi_env env, napi_callback_info info);

/* socket.c */
napi_value socket_bind(napi_env env, napi_callback_info info);
napi_value socket_port(napi_env env, napi_callback_info info);
napi_value socket_close(napi_env env, napi_callback_info info);
napi_value socket_watch_writable(napi_env env, napi_callback_info info);
bool read_socket(napi_env env, napi_value value, bool may_be_closed, udp_socket_t** out);
/* False, without an exception: not an address of that family. */
bool read_address(const uint8_t entry[ADDRESS_BYTES], int family, struct sockaddr_storage* out, socklen_t* length);
void write_address(const struct sockaddr_storage* address, uint8_t entry[ADDRESS_BYTES]);

/* receive.c, send.c */
napi_value socket_receive(napi_env env, napi_callback_info info);
napi_value socket_send(napi_env env, napi_callback_info info);
napi_value socket_send_one(napi_env env, napi_callback_info info);

#endif
