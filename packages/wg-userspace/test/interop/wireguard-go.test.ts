import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hexEncode } from "../../src/base/bytes.ts";
import { clampPrivateKey } from "../../src/base/keys.ts";
import { nodeCryptoSuite, nodeRandom } from "../../src/io/host/crypto-suite.ts";
import { HostPair, missingTools, RemoteScript } from "./namespaces.ts";
import { patternBytes, sha256OfPattern } from "./pattern.ts";

const missing = missingTools("ip", "wireguard-go", "wg", "ping");
const TRANSFER_BYTES = 100_000_000;
const OURS = { v6: "fd00:77::1", v4: "10.77.0.1" };
const THEIRS = { v6: "fd00:77::2", v4: "10.77.0.2" };
/** Minimum interval between two handshakes of one peer. */
const REKEY_TIMEOUT_MS = 5_500;

/** The answer of a server that read a pattern: its digest, then a pattern of the same length. */
function answerDigest(bytes: number): string {
  const hash = createHash("sha256").update(Buffer.from(sha256OfPattern(bytes), "hex"));
  for (const block of patternBytes(bytes)) hash.update(block);
  return hash.digest("hex");
}

describe.skipIf(missing.length > 0)(
  `a stock wireguard-go peer (missing here: ${missing.join(", ") || "nothing"})`,
  () => {
    let hosts: HostPair;
    let engine: RemoteScript;
    let stock: RemoteScript;
    let folder: string;

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), "wg-interop-"));
      hosts = new HostPair();
      const ourPrivate = clampPrivateKey(nodeRandom.bytes(32));
      const theirPrivate = clampPrivateKey(nodeRandom.bytes(32));
      const psk = nodeRandom.bytes(32);
      writeFileSync(join(folder, "key"), Buffer.from(theirPrivate).toString("base64"), { mode: 0o600 });
      writeFileSync(join(folder, "psk"), Buffer.from(psk).toString("base64"), { mode: 0o600 });
      hosts.right.start("wireguard-go", "-f", "wg0");
      for (let tries = 0; ; tries++) {
        try {
          hosts.right.run("ip", "link", "show", "wg0");
          hosts.right.run("wg", "show", "wg0");
          break;
        } catch (error) {
          if (tries > 50) throw error;
          await sleep(100);
        }
      }
      const ourPublic = Buffer.from(nodeCryptoSuite.publicKey(ourPrivate)).toString("base64");
      hosts.right.run(
        "wg",
        "set",
        "wg0",
        "listen-port",
        "51820",
        "private-key",
        join(folder, "key"),
        "peer",
        ourPublic,
        "preshared-key",
        join(folder, "psk"),
        "allowed-ips",
        `${OURS.v6}/128,${OURS.v4}/32`,
        "endpoint",
        `${hosts.left.address}:41820`,
      );
      hosts.right.run("ip", "addr", "add", `${THEIRS.v6}/64`, "dev", "wg0");
      hosts.right.run("ip", "addr", "add", `${THEIRS.v4}/24`, "dev", "wg0");
      hosts.right.run("ip", "link", "set", "wg0", "mtu", "1280", "up");

      engine = new RemoteScript(hosts.left, join(import.meta.dirname, "engine-host.ts"));
      stock = new RemoteScript(hosts.right, join(import.meta.dirname, "os-host.ts"));
      await engine.call({ do: "open", privateKey: hexEncode(ourPrivate), addresses: [OURS.v6, OURS.v4], port: 41820 });
      await engine.call({
        do: "peer",
        publicKey: hexEncode(nodeCryptoSuite.publicKey(theirPrivate)),
        presharedKey: hexEncode(psk),
        allowedIPs: [`${THEIRS.v6}/128`, `${THEIRS.v4}/32`],
        endpoint: `${hosts.right.address}:51820`,
      });
      await stock.call({ do: "serve", port: 9000, bytes: TRANSFER_BYTES });
      await engine.call({ do: "serve", port: 9000, bytes: TRANSFER_BYTES });
    });

    afterAll(async () => {
      await hosts?.close();
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    });

    it("answers the handshake that the stock peer initiates, and its pings over IPv6 and IPv4", () => {
      for (const address of [OURS.v6, OURS.v4]) {
        expect(hosts.right.run("ping", "-c", "3", "-i", "0.2", "-W", "5", address)).toContain("3 received");
      }
    });

    it("initiates a handshake itself and pings the stock peer", async () => {
      await sleep(REKEY_TIMEOUT_MS);
      await engine.call({ do: "handshake" });
      for (const address of [THEIRS.v6, THEIRS.v4]) {
        expect((await engine.call<{ rttMs: number }>({ do: "ping", to: address })).rttMs).toBeGreaterThan(0);
      }
      const { peers } = await engine.call<{ peers: { handshakeAgeMs: number }[] }>({ do: "status" });
      expect(peers[0]!.handshakeAgeMs).toBeLessThan(REKEY_TIMEOUT_MS);
    });

    it.each([
      ["IPv6", THEIRS.v6],
      ["IPv4", THEIRS.v4],
    ])("carries 100 MB each way on connections that we open over %s, across a rekey", async (_family, address) => {
      await sleep(REKEY_TIMEOUT_MS);
      const answer = await engine.call<{ sha256: string; rekeys: number }>({
        do: "fetch",
        to: address,
        port: 9000,
        bytes: TRANSFER_BYTES,
        rekeyAfterMs: 300,
      });
      expect(answer.rekeys).toBeGreaterThan(0);
      expect(answer.sha256).toBe(answerDigest(TRANSFER_BYTES));
    });

    it.each([
      ["IPv6", OURS.v6],
      ["IPv4", OURS.v4],
    ])("carries 100 MB each way on connections that the stock peer opens over %s", async (_family, address) => {
      const answer = await stock.call<{ sha256: string }>({
        do: "fetch",
        to: address,
        port: 9000,
        bytes: TRANSFER_BYTES,
      });
      expect(answer.sha256).toBe(answerDigest(TRANSFER_BYTES));
    });
  },
);
