/* Life of a socket: bound, watched by the loop, closed by its owner, by the garbage collector or with the environment. */
#include "udp_batch.h"

#include <errno.h>
#include <linux/udp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const napi_type_tag SOCKET_TAG = {UINT64_C(0x9c1f4b1de2a84f6b), UINT64_C(0x8d2a3f70c65e11b4)};

static void drop_references(udp_socket_t* socket) {
  napi_ref* const references[] = {&socket->memory_ref, &socket->readable_ref, &socket->writable_ref};
  for (size_t i = 0; i < sizeof references / sizeof *references; i++) {
    if (*references[i] != NULL) napi_delete_reference(socket->env, *references[i]);
    *references[i] = NULL;
  }
  if (socket->context != NULL) napi_async_destroy(socket->env, socket->context);
  socket->context = NULL;
  socket->memory = NULL;
  socket->memory_length = 0;
}

static void free_when_unused(udp_socket_t* socket) {
  if (!socket->collected || !socket->detached) return;
  free(socket->buffers);
  free(socket);
}

static void on_detached(uv_handle_t* handle) {
  udp_socket_t* socket = handle->data;
  socket->detached = true;
  if (socket->cleanup != NULL) napi_remove_async_cleanup_hook(socket->cleanup);
  socket->cleanup = NULL;
  free_when_unused(socket);
}

static void close_socket(udp_socket_t* socket) {
  if (socket->closed) return;
  socket->closed = true;
  if (socket->fd >= 0) {
    if (socket->polling) uv_poll_stop(&socket->poll);
    close(socket->fd);
    socket->fd = -1;
  }
  drop_references(socket);
  if (socket->polling) uv_close((uv_handle_t*)&socket->poll, on_detached);
  else socket->detached = true;
}

static void on_cleanup(napi_async_cleanup_hook_handle handle, void* data) {
  udp_socket_t* socket = data;
  if (socket->closed) return; /* on_detached removes the hook */
  close_socket(socket);
}

static void on_collected(napi_env env, void* data, void* hint) {
  udp_socket_t* socket = data;
  close_socket(socket);
  socket->collected = true;
  free_when_unused(socket);
}

static void call(udp_socket_t* socket, napi_ref reference) {
  napi_env env = socket->env;
  napi_handle_scope scope = NULL;
  napi_value function = NULL;
  napi_value receiver = NULL;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  if (napi_get_reference_value(env, reference, &function) == napi_ok && function != NULL &&
      napi_get_global(env, &receiver) == napi_ok &&
      napi_make_callback(env, socket->context, receiver, function, 0, NULL, NULL) == napi_pending_exception) {
    napi_value error = NULL;
    if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
  }
  napi_close_handle_scope(env, scope);
}

static void on_poll(uv_poll_t* poll, int status, int events) {
  udp_socket_t* socket = poll->data;
  if (socket->closed) return;
  if ((events & UV_WRITABLE) != 0 || status < 0) {
    socket->events &= ~UV_WRITABLE;
    uv_poll_start(poll, socket->events, on_poll);
    call(socket, socket->writable_ref);
  }
  /* Reading a socket error also clears it. */
  if (!socket->closed && ((events & UV_READABLE) != 0 || status < 0)) call(socket, socket->readable_ref);
}

static bool read_property(napi_env env, napi_value object, const char* name, napi_value* out) {
  return check_status(env, napi_get_named_property(env, object, name, out));
}

static bool read_function(napi_env env, napi_value object, const char* name, napi_ref* out) {
  napi_value value = NULL;
  napi_valuetype type = napi_undefined;
  if (!read_property(env, object, name, &value)) return false;
  if (!check_status(env, napi_typeof(env, value, &type))) return false;
  if (type != napi_function) return throw_type(env, "a callback is not a function");
  return check_status(env, napi_create_reference(env, value, 1, out));
}

static bool open_descriptor(udp_socket_t* out, int family, int port, int buffer_bytes) {
  const int on = 1;
  struct sockaddr_storage address = {.ss_family = (sa_family_t)family};
  socklen_t length = sizeof(struct sockaddr_in);
  out->fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (out->fd < 0) return false;
  if (family == AF_INET6) {
    ((struct sockaddr_in6*)&address)->sin6_port = htons((uint16_t)port);
    length = sizeof(struct sockaddr_in6);
    if (setsockopt(out->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) return false;
  } else {
    ((struct sockaddr_in*)&address)->sin_port = htons((uint16_t)port);
  }
  if (bind(out->fd, (struct sockaddr*)&address, length) != 0) return false;
  /* Smaller buffers or a kernel without UDP_GRO are slower, never wrong. */
  setsockopt(out->fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
  setsockopt(out->fd, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
  setsockopt(out->fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
  int segment = 0;
  socklen_t segment_length = sizeof segment;
  out->has_gso = getsockopt(out->fd, IPPROTO_UDP, UDP_SEGMENT, &segment, &segment_length) == 0;
  return true;
}

/*
 * Reads the options and opens the socket. False, with a JavaScript exception pending: the caller releases what there
 * is.
 */
static bool set_up(napi_env env, udp_socket_t* socket, napi_value options) {
  int32_t family = 0;
  int32_t port = 0;
  int32_t buffer_bytes = 0;
  napi_value value = NULL;
  napi_value name = NULL;
  uv_loop_t* loop = NULL;
  if (!read_property(env, options, "family", &value) || !read_int32(env, value, "family", &family)) return false;
  if (!read_property(env, options, "port", &value) || !read_int32(env, value, "port", &port)) return false;
  if (!read_property(env, options, "bufferBytes", &value) || !read_int32(env, value, "bufferBytes", &buffer_bytes)) return false;
  if (family != 4 && family != 6) return throw_range(env, "family is neither 4 nor 6");
  if (port < 0 || port > 65535) return throw_range(env, "port is not between 0 and 65535");
  if (buffer_bytes < 1) return throw_range(env, "bufferBytes is not positive");
  if (!read_property(env, options, "memory", &value)) return false;
  if (!read_memory(env, value, &socket->memory, &socket->memory_length)) return false;
  if (!check_status(env, napi_create_reference(env, value, 1, &socket->memory_ref))) return false;
  if (!read_function(env, options, "onReadable", &socket->readable_ref)) return false;
  if (!read_function(env, options, "onWritable", &socket->writable_ref)) return false;
  if (!check_status(env, napi_create_string_utf8(env, "udp-batch", NAPI_AUTO_LENGTH, &name))) return false;
  if (!check_status(env, napi_async_init(env, NULL, name, &socket->context))) return false;
  if (!check_status(env, napi_get_uv_event_loop(env, &loop))) return false;
  socket->family = family == 4 ? AF_INET : AF_INET6;
  if (!open_descriptor(socket, socket->family, port, buffer_bytes)) return throw_errno(env, errno, "cannot bind");
  const int status = uv_poll_init(loop, &socket->poll, socket->fd);
  if (status != 0) return throw_errno(env, -status, "cannot watch");
  socket->poll.data = socket;
  socket->polling = true;
  socket->events = UV_READABLE;
  uv_poll_start(&socket->poll, socket->events, on_poll);
  return check_status(env, napi_add_async_cleanup_hook(env, on_cleanup, socket, &socket->cleanup));
}

napi_value socket_bind(napi_env env, napi_callback_info info) {
  napi_value options = NULL;
  napi_value object = NULL;
  napi_valuetype type = napi_undefined;
  if (!read_arguments(env, info, 1, &options)) return NULL;
  if (!check_status(env, napi_typeof(env, options, &type))) return NULL;
  if (type != napi_object) return throw_type(env, "options are not an object"), NULL;
  udp_socket_t* socket = calloc(1, sizeof *socket);
  if (socket == NULL) return throw_errno(env, ENOMEM, "cannot bind"), NULL;
  socket->env = env;
  socket->fd = -1;
  if (!set_up(env, socket, options) || !check_status(env, napi_create_object(env, &object)) ||
      !check_status(env, napi_wrap(env, object, socket, on_collected, NULL, NULL))) {
    socket->collected = true;
    close_socket(socket);
    if (socket->detached) free_when_unused(socket);
    return NULL;
  }
  if (!check_status(env, napi_type_tag_object(env, object, &SOCKET_TAG))) return NULL;
  return object;
}

bool read_socket(napi_env env, napi_value value, bool may_be_closed, udp_socket_t** out) {
  napi_valuetype type = napi_undefined;
  bool tagged = false;
  if (!check_status(env, napi_typeof(env, value, &type))) return false;
  if (type != napi_object) return throw_type(env, "not a socket of this module");
  if (!check_status(env, napi_check_object_type_tag(env, value, &SOCKET_TAG, &tagged))) return false;
  if (!tagged) return throw_type(env, "not a socket of this module");
  void* data = NULL;
  if (!check_status(env, napi_unwrap(env, value, &data))) return false;
  *out = data;
  if ((*out)->closed) return may_be_closed || throw_errno(env, EBADF, "the socket is closed");
  /* A buffer that was detached meanwhile has no bytes any more. */
  napi_value memory = NULL;
  return check_status(env, napi_get_reference_value(env, (*out)->memory_ref, &memory)) &&
         read_memory(env, memory, &(*out)->memory, &(*out)->memory_length);
}

napi_value socket_port(napi_env env, napi_callback_info info) {
  napi_value value = NULL;
  udp_socket_t* socket = NULL;
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  if (!read_arguments(env, info, 1, &value) || !read_socket(env, value, false, &socket)) return NULL;
  if (getsockname(socket->fd, (struct sockaddr*)&address, &length) != 0) return throw_errno(env, errno, "no local address"), NULL;
  const in_port_t port =
      address.ss_family == AF_INET6 ? ((struct sockaddr_in6*)&address)->sin6_port : ((struct sockaddr_in*)&address)->sin_port;
  return number_value(env, ntohs(port));
}

napi_value socket_close(napi_env env, napi_callback_info info) {
  napi_value value = NULL;
  udp_socket_t* socket = NULL;
  if (read_arguments(env, info, 1, &value) && read_socket(env, value, true, &socket)) close_socket(socket);
  return NULL;
}

napi_value socket_watch_writable(napi_env env, napi_callback_info info) {
  napi_value value = NULL;
  udp_socket_t* socket = NULL;
  if (!read_arguments(env, info, 1, &value) || !read_socket(env, value, false, &socket)) return NULL;
  if ((socket->events & UV_WRITABLE) == 0) {
    socket->events |= UV_WRITABLE;
    uv_poll_start(&socket->poll, socket->events, on_poll);
  }
  return NULL;
}

bool read_address(const uint8_t entry[ADDRESS_BYTES], int family, struct sockaddr_storage* out, socklen_t* length) {
  memset(out, 0, sizeof *out);
  out->ss_family = (sa_family_t)family;
  if (family == AF_INET && entry[0] == 4) {
    struct sockaddr_in* address = (struct sockaddr_in*)out;
    memcpy(&address->sin_port, entry + 2, 2);
    memcpy(&address->sin_addr, entry + 4, 4);
    *length = sizeof *address;
    return true;
  }
  if (family == AF_INET6 && entry[0] == 6) {
    struct sockaddr_in6* address = (struct sockaddr_in6*)out;
    memcpy(&address->sin6_port, entry + 2, 2);
    memcpy(&address->sin6_addr, entry + 4, 16);
    *length = sizeof *address;
    return true;
  }
  return false;
}

void write_address(const struct sockaddr_storage* address, uint8_t entry[ADDRESS_BYTES]) {
  memset(entry, 0, ADDRESS_BYTES);
  if (address->ss_family == AF_INET) {
    const struct sockaddr_in* v4 = (const struct sockaddr_in*)address;
    entry[0] = 4;
    memcpy(entry + 2, &v4->sin_port, 2);
    memcpy(entry + 4, &v4->sin_addr, 4);
  } else {
    const struct sockaddr_in6* v6 = (const struct sockaddr_in6*)address;
    entry[0] = 6;
    memcpy(entry + 2, &v6->sin6_port, 2);
    memcpy(entry + 4, &v6->sin6_addr, 16);
  }
}
