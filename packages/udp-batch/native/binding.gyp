{
  "variables": { "asan%": 0 },
  "targets": [
    {
      "target_name": "udp_batch",
      "sources": ["src/module.c", "src/arguments.c", "src/aead.c", "src/ssh_cipher.c", "src/socket.c", "src/receive.c", "src/send.c"],
      "defines": ["NAPI_VERSION=9", "_GNU_SOURCE"],
      "cflags": ["-std=c11", "-O3", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-fvisibility=hidden"],
      "conditions": [
        ["asan==1", {
          "cflags": ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer", "-g", "-O1"],
          "ldflags": ["-fsanitize=address,undefined"]
        }]
      ]
    }
  ]
}
