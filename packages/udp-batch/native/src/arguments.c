/* JavaScript arguments to C values. Every argument is checked here or where it is used. */
#include "udp_batch.h"

#include <stdio.h>
#include <string.h>

bool check_status(napi_env env, napi_status status) {
  if (status == napi_ok) return true;
  bool pending = false;
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending) return false;
  const napi_extended_error_info* info = NULL;
  napi_get_last_error_info(env, &info);
  napi_throw_error(env, NULL, info != NULL && info->error_message != NULL ? info->error_message : "Node-API call failed");
  return false;
}

bool read_arguments(napi_env env, napi_callback_info info, size_t count, napi_value* values) {
  size_t given = count;
  if (!check_status(env, napi_get_cb_info(env, info, &given, values, NULL, NULL))) return false;
  return given >= count || throw_type(env, "too few arguments");
}

bool read_int32(napi_env env, napi_value value, const char* name, int32_t* out) {
  double number = 0;
  const bool is_number = napi_get_value_double(env, value, &number) == napi_ok;
  if (is_number && number >= INT32_MIN && number <= INT32_MAX && number == (double)(int32_t)number) {
    *out = (int32_t)number;
    return true;
  }
  char message[96];
  snprintf(message, sizeof message, "%s is not a 32-bit integer", name);
  return is_number ? throw_range(env, message) : throw_type(env, message);
}

bool read_memory(napi_env env, napi_value value, uint8_t** bytes, size_t* length) {
  bool is_buffer = false;
  if (napi_is_arraybuffer(env, value, &is_buffer) != napi_ok || !is_buffer) return throw_type(env, "memory is not an ArrayBuffer");
  void* data = NULL;
  if (!check_status(env, napi_get_arraybuffer_info(env, value, &data, length))) return false;
  *bytes = data;
  return true;
}

static bool read_typed(napi_env env, napi_value value, napi_typedarray_type wanted, const char* name, void** data, size_t* count) {
  bool is_typed = false;
  napi_typedarray_type type = napi_int8_array;
  if (napi_is_typedarray(env, value, &is_typed) == napi_ok && is_typed) {
    if (!check_status(env, napi_get_typedarray_info(env, value, &type, count, data, NULL, NULL))) return false;
    if (type == wanted) return true;
  }
  char message[96];
  snprintf(message, sizeof message, "%s is not the right kind of array", name);
  return throw_type(env, message);
}

bool read_int32_array(napi_env env, napi_value value, const char* name, int32_t** words, size_t* count) {
  void* data = NULL;
  if (!read_typed(env, value, napi_int32_array, name, &data, count)) return false;
  *words = data;
  return true;
}

bool read_uint8_array(napi_env env, napi_value value, const char* name, uint8_t** bytes, size_t* length) {
  void* data = NULL;
  if (!read_typed(env, value, napi_uint8_array, name, &data, length)) return false;
  *bytes = data;
  return true;
}

bool throw_range(napi_env env, const char* message) {
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", message);
  return false;
}

bool throw_type(napi_env env, const char* message) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
  return false;
}

bool throw_errno(napi_env env, int error, const char* what) {
  char message[160];
  snprintf(message, sizeof message, "%s: %s", what, strerror(error));
  napi_throw_error(env, uv_err_name(uv_translate_sys_error(error)), message);
  return false;
}

napi_value number_value(napi_env env, int32_t value) {
  napi_value out = NULL;
  return check_status(env, napi_create_int32(env, value, &out)) ? out : NULL;
}
