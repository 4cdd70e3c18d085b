import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { missingTools, RemoteScript } from "./namespaces.ts";
import { NatRouter, ROUTER_WAN } from "./nat-router.ts";

const missing = missingTools("ip", "nft", "ss", "miniupnpd");
const PORT = 41_641;

interface State {
  readonly external: string;
  readonly seen: Readonly<Record<"upnp" | "pmp" | "pcp", boolean>>;
  readonly changes: number;
}

/** A home router: nothing unsolicited comes in, except through mappings of miniupnpd. */
const RULES = `
table inet router {
  chain forward { type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname lan accept
    jump upnp
  }
  chain upnp {
  }
  chain pre { type nat hook prerouting priority dstnat
    jump upnp_pre
  }
  chain upnp_pre {
  }
  chain post { type nat hook postrouting priority srcnat
    jump upnp_post
    oifname wan masquerade
  }
  chain upnp_post {
  }
}
`;

const config = (leases: string): string =>
  [
    "ext_ifname=wan",
    "listening_ip=lan",
    "http_port=5000",
    "ipv6_disable=yes",
    "enable_upnp=yes",
    "enable_natpmp=yes",
    "secure_mode=yes",
    "upnp_table_name=router",
    "upnp_nat_table_name=router",
    "upnp_forward_chain=upnp",
    "upnp_nat_chain=upnp_pre",
    "upnp_nat_postrouting_chain=upnp_post",
    `lease_file=${leases}`,
    "uuid=00000000-0000-4000-8000-000000000001",
    "allow 1024-65535 10.7.0.0/24 1024-65535",
    "deny 0-65535 0.0.0.0/0 0-65535",
    "",
  ].join("\n");

/** The requests that the router drops, so that one protocol is left. NAT-PMP starts with version 0, PCP with version 2. */
const WITHOUT: Readonly<Record<"pmp" | "pcp" | "upnp", string>> = {
  pmp: "udp dport 5351 @th,64,8 0 drop",
  pcp: "udp dport 5351 @th,64,8 2 drop",
  upnp: "udp dport 1900 drop",
};

describe.skipIf(missing.length > 0)(
  `a stock miniupnpd router (missing here: ${missing.join(", ") || "nothing"})`,
  () => {
    let net: NatRouter;
    let inside: RemoteScript;
    let outside: RemoteScript;
    let folder: string;

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), "wg-portmap-"));
      writeFileSync(join(folder, "config"), config(join(folder, "leases")));
      net = new NatRouter();
      net.nft(RULES);
      const command = `exec miniupnpd -d -f ${join(folder, "config")} -P ${join(folder, "pid")} 2>/dev/null`;
      const daemon = net.router.start("sh", "-c", command);
      daemon.stdout!.resume();
      for (let tries = 0; !net.router.run("ss", "-Hlnu").includes(":5351"); tries++) {
        if (tries > 50) throw new Error("miniupnpd does not listen");
        await sleep(100);
      }
      inside = new RemoteScript(net.inside, `${import.meta.dirname}/nat-host.ts`);
      outside = new RemoteScript(net.outside, `${import.meta.dirname}/nat-host.ts`);
    });

    afterAll(async () => {
      await net?.close();
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    });

    function answerOnly(...spoken: readonly (keyof typeof WITHOUT)[]): void {
      const rules = Object.entries(WITHOUT).filter(([name]) => !(spoken as readonly string[]).includes(name));
      net.nft(
        `table ip mute\ndelete table ip mute\ntable ip mute {\n chain c { type filter hook input priority 0\n${rules
          .map(([, rule]) => rule)
          .join("\n")}\n }\n}\n`,
      );
    }

    const forwards = (): string => net.router.run("nft", "list", "chain", "inet", "router", "upnp_pre");

    it.each([
      ["NAT-PMP", ["pmp"]],
      ["PCP", ["pcp"]],
      ["UPnP", ["upnp"]],
      ["all three at once", ["pmp", "pcp", "upnp"]],
    ] as const)("maps a port by %s, an unsolicited datagram arrives, disposal removes it", async (_name, spoken) => {
      answerOnly(...spoken);
      const speaks = (name: keyof typeof WITHOUT): boolean => (spoken as readonly string[]).includes(name);
      const state = await inside.call<State>({ do: "map", port: PORT });
      expect(state).toEqual({
        external: `${ROUTER_WAN}:${PORT}`,
        seen: { upnp: speaks("upnp"), pmp: speaks("pmp"), pcp: speaks("pcp") },
        changes: 1,
      });
      expect(forwards()).toContain(`dport ${PORT}`);

      await outside.call({ do: "send", to: ROUTER_WAN, port: PORT, text: "out of the blue" });
      expect(await inside.call({ do: "received" })).toEqual({ text: "out of the blue" });

      expect(await inside.call<State>({ do: "refresh" })).toEqual(state);
      expect(forwards().match(/dport/g)).toHaveLength(1);

      expect((await inside.call<State>({ do: "unmap" })).external).toBe("");
      expect(forwards()).not.toContain("dport");
    });

    it("maps nothing on a router that supports none of them", async () => {
      answerOnly();
      const state = await inside.call<State>({ do: "map", port: PORT });
      expect(state).toEqual({ external: "", seen: { upnp: false, pmp: false, pcp: false }, changes: 0 });
      // The router lets no unsolicited packet in: the datagram above came through the mapping.
      await outside.call({ do: "send", to: ROUTER_WAN, port: PORT, text: "out of the blue" });
      await inside.call({ do: "send", to: net.inside.address, port: PORT, text: "from here" });
      expect(await inside.call({ do: "received" })).toEqual({ text: "from here" });
      await inside.call({ do: "unmap" });
    });

    it("holds no mapping once the router is behind another one", async () => {
      answerOnly("pmp", "pcp", "upnp");
      net.router.run("ip", "addr", "flush", "dev", "wan");
      net.router.run("ip", "addr", "add", "100.64.7.1/24", "dev", "wan");
      const state = await inside.call<State>({ do: "map", port: PORT });
      expect(state.external).toBe("");
      expect(forwards()).not.toContain("dport");
      await inside.call({ do: "unmap" });
    });
  },
);
