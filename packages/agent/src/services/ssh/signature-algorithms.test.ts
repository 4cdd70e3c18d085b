import { once } from "node:events";
import { Client } from "ssh2";
import { expect, test } from "vitest";
import { duplexPair, raw, TestService } from "./testing.ts";

/** OpenSSH reads whatever is between two commas, so names that run together are no algorithm at all. */
test("clients learn, name by name, which signatures are accepted (RFC 8308 §3.1)", async () => {
  await using t = new TestService();
  const [near, far] = duplexPair();
  t.service.handleConnection(far, { address: "fd7a:115c:a1e0::1", port: 4321 });
  const client = new Client();
  client.on("error", () => undefined);
  client.connect({ username: "any-name", sock: near });
  const announced = new Promise<unknown>((resolve) => {
    raw(client)._handlers["EXT_INFO"] = ((_self: unknown, extensions: unknown) => resolve(extensions)) as never;
  });
  await once(client, "ready");
  expect(await announced).toEqual([
    {
      name: "server-sig-algs",
      algs: [
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "rsa-sha2-512",
        "rsa-sha2-256",
        "ssh-rsa",
        "ssh-dss",
      ],
    },
  ]);
  client.destroy();
});
