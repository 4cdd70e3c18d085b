import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { missingTools, RemoteScript } from "./namespaces.ts";
import { NatRouter, OUTSIDE, ROUTER_WAN } from "./nat-router.ts";

const missing = missingTools("ip", "nft", "turnserver", "turnutils_stunclient", "timeout");

interface Answer {
  readonly udp: boolean;
  readonly varies: boolean | null;
  readonly global: string;
  readonly answers: number;
}

const masquerade = (how: string): string =>
  `table ip nat {\n chain post { type nat hook postrouting priority srcnat\n oifname wan masquerade ${how}\n }\n}\n`;

describe.skipIf(missing.length > 0)(
  `coturn as the STUN server (missing here: ${missing.join(", ") || "nothing"})`,
  () => {
    let net: NatRouter;

    beforeEach(async () => {
      net = new NatRouter();
      const addresses = OUTSIDE.flatMap((address) => ["-L", address]);
      const options = ["-S", "-n", "--no-cli", "--no-tls", "--no-dtls", "--log-file=stdout", "--pidfile=/dev/null"];
      const command = `exec turnserver ${[...options, ...addresses].join(" ")} 2>/dev/null`;
      net.outside.start("sh", "-c", command).stdout!.resume();
      // A stock client on the server's machine gets an answer: the server is up, whatever our side does.
      for (let tries = 0; ; tries++) {
        try {
          const seen = net.outside.run("timeout", "2", "turnutils_stunclient", OUTSIDE[1]);
          if (seen.includes("reflexive")) break;
        } catch (error) {
          if (tries > 20) throw error;
        }
        if (tries > 20) throw new Error("turnserver does not answer");
        await sleep(100);
      }
    });
    afterEach(() => net?.close());

    const check = (): Promise<Answer> =>
      new RemoteScript(net.inside, `${import.meta.dirname}/nat-host.ts`).call({ do: "netcheck", servers: OUTSIDE });

    it("sees one mapping through an ordinary router: an easy NAT", async () => {
      net.nft(masquerade(""));
      const report = await check();
      expect(report).toMatchObject({ udp: true, varies: false, answers: 2 });
      expect(report.global).toMatch(new RegExp(`^${ROUTER_WAN}:[0-9]+$`));
    });

    it("sees a port for each destination through a router that draws them: a hard NAT", async () => {
      net.nft(masquerade("fully-random"));
      const report = await check();
      expect(report).toMatchObject({ udp: true, varies: true, answers: 2 });
      expect(report.global.startsWith(`${ROUTER_WAN}:`)).toBe(true);
    });

    it("sees no UDP when the router drops it, and when it refuses it", async () => {
      net.nft(masquerade(""));
      for (const verdict of ["drop", "reject with icmp admin-prohibited"]) {
        net.nft(
          `table ip block\ndelete table ip block\ntable ip block {\n chain c { type filter hook forward priority 0\n meta l4proto udp ${verdict}\n }\n}\n`,
        );
        expect(await check()).toMatchObject({ udp: false, varies: null, global: "", answers: 0 });
      }
    });
  },
);
