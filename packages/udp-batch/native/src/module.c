/* The module's table of functions; index.d.ts documents each. */
#include "udp_batch.h"

static bool set_number(napi_env env, napi_value exports, const char* name, int32_t value) {
  napi_value number = number_value(env, value);
  return number != NULL && check_status(env, napi_set_named_property(env, exports, name, number));
}

NAPI_MODULE_INIT() {
  const struct {
    const char* name;
    napi_callback function;
  } functions[] = {
      {"seal", aead_seal},           {"open", aead_open},
      {"bind", socket_bind},         {"port", socket_port},
      {"close", socket_close},       {"watchWritable", socket_watch_writable},
      {"receive", socket_receive},   {"send", socket_send},
      {"sendOne", socket_send_one},  {"sshCipher", ssh_cipher_create},
      {"sshClose", ssh_cipher_close}, {"sshSeal", ssh_cipher_seal},
      {"sshLength", ssh_cipher_length}, {"sshStart", ssh_cipher_start},
      {"sshContinue", ssh_cipher_continue}, {"sshEnd", ssh_cipher_end},
      {"sshOpen", ssh_cipher_open},
  };
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    napi_value function = NULL;
    if (!check_status(env, napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].function, NULL, &function)) ||
        !check_status(env, napi_set_named_property(env, exports, functions[i].name, function)))
      return NULL;
  }
  napi_value has_aead = NULL;
  napi_value sends_whole = NULL;
  napi_value has_ssh = NULL;
  if (!check_status(env, napi_get_boolean(env, aead_available(), &has_aead)) ||
      !check_status(env, napi_set_named_property(env, exports, "hasAead", has_aead)))
    return NULL;
  if (!check_status(env, napi_get_boolean(env, true, &sends_whole)) ||
      !check_status(env, napi_set_named_property(env, exports, "sendsWhole", sends_whole)))
    return NULL;
  if (!check_status(env, napi_get_boolean(env, ssh_ciphers_available(), &has_ssh)) ||
      !check_status(env, napi_set_named_property(env, exports, "hasSshCiphers", has_ssh)))
    return NULL;
  if (!set_number(env, exports, "ADDRESS_BYTES", ADDRESS_BYTES) || !set_number(env, exports, "RECORD_WORDS", RECORD_WORDS) ||
      !set_number(env, exports, "MORE", MORE))
    return NULL;
  return exports;
}
