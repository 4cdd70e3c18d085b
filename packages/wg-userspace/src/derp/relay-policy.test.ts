import { beforeEach, describe, expect, it } from "vitest";
import { type Instant, instant } from "../base/instant.ts";
import type { RandomSource } from "../base/ports.ts";
import { type Region, relayNode } from "./map.ts";
import { doubtPatienceMs, RelayPolicy } from "./relay-policy.ts";

const RESET = { status: undefined, isHttp2: false, message: "connection reset" };

/** `uint32() % 1024` of 512 makes the jitter exactly 1. */
const evenly: RandomSource = { bytes: (length) => new Uint8Array(length), uint32: () => 512 };

function region(...hosts: string[]): Region {
  return {
    regionId: 7,
    regionCode: "",
    regionName: "",
    embeddedRelay: false,
    avoid: false,
    nodes: hosts.map((hostName) => relayNode({ name: hostName, regionId: 7, hostName })),
  };
}

let now: Instant;
let policy: RelayPolicy;

beforeEach(() => {
  now = instant(1_000);
  policy = policyWith();
});

function policyWith(options: { readonly forceWebSocket?: boolean; readonly random?: RandomSource } = {}): RelayPolicy {
  return new RelayPolicy({ region: region("a", "b"), forceWebSocket: false, random: evenly, ...options });
}

function passes(ms: number): void {
  now = instant(now + ms);
}

/** An attempt that fails at once. Returns the wait after it. */
function failedAttempt(): number {
  policy.beginAttempt();
  return policy.attemptEnded(now);
}

/** A connection that lasts this long. Returns the wait after it. */
function connectionOf(ms: number): number {
  policy.beginAttempt();
  policy.ready(now);
  passes(ms);
  return policy.attemptEnded(now);
}

describe("the wait between attempts", () => {
  it("doubles from 100 ms to 5 s", () => {
    const waits = Array.from({ length: 9 }, failedAttempt);
    expect(waits).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
  });

  it("starts over after a connection of more than 10 s, and only then", () => {
    for (let i = 0; i < 4; i++) failedAttempt();
    expect(connectionOf(10_000)).toBe(1_600);
    expect(connectionOf(10_001)).toBe(100);
    policy.beginAttempt();
    passes(60_000); // never ready
    expect(policy.attemptEnded(now)).toBe(200);
    policy.beginAttempt();
    passes(60_000);
    policy.ready(now); // and over at once: the time for dialling does not count
    expect(policy.attemptEnded(now)).toBe(400);
    expect(failedAttempt()).toBe(800);
  });

  it("is jittered between three and five quarters", () => {
    let drawn = 0;
    const random = { ...evenly, uint32: () => drawn };
    const waitOf = (value: number): number => {
      drawn = value;
      policy = policyWith({ random });
      return failedAttempt();
    };
    expect([waitOf(0), waitOf(1_023), waitOf(1_024)]).toEqual([75, 125 - 100 / 2_048, 75]);
  });

  it("is at least what a restarting relay asked for, at most 30 s, and only once", () => {
    for (const [asked, least] of [
      [8_000, 8_000],
      [90_000, 30_000],
    ] as const) {
      policy = policyWith({ random: { ...evenly, uint32: () => 0 } });
      policy.beginAttempt();
      policy.ready(now);
      policy.restarting(asked);
      expect(policy.attemptEnded(now)).toBeCloseTo(least);
      expect(failedAttempt()).toBe(150);
    }
  });

  it("is skipped once after a request for an immediate attempt, without changing the back-off", () => {
    failedAttempt();
    policy.beginAttempt();
    policy.retryAtOnce();
    expect(policy.attemptEnded(now)).toBe(0);
    expect(failedAttempt()).toBe(200);
  });
});

describe("raw upgrade or WebSocket", () => {
  const attempt = (failure?: Parameters<RelayPolicy["upgradeFailed"]>[0]) => {
    policy.beginAttempt();
    const { transport } = policy;
    const preferred = failure === undefined ? policy.ready(now) : policy.upgradeFailed(failure);
    return { transport, preferred, waitMs: policy.attemptEnded(now) };
  };

  it("begins with the raw upgrade, or with WebSocket if that is forced", () => {
    expect(policy.transport).toBe("raw");
    policy = policyWith({ forceWebSocket: true });
    expect(attempt(RESET)).toMatchObject({ transport: "websocket", preferred: undefined, waitMs: 100 });
    expect(attempt({ ...RESET, status: 404 })).toMatchObject({ transport: "websocket", preferred: undefined });
  });

  it.each([
    [{ ...RESET, status: 400 }, /HTTP 400/],
    [{ ...RESET, status: 499 }, /HTTP 499/],
    [{ ...RESET, isHttp2: true }, /HTTP\/2/],
    [{ status: 500, isHttp2: true, message: "" }, /HTTP\/2/],
  ])("prefers WebSocket at once after %j", (failure, reason) => {
    const first = attempt(failure);
    expect(first.preferred).toMatch(reason);
    expect(first.waitMs).toBe(0);
    expect(attempt(RESET)).toEqual({ transport: "websocket", preferred: undefined, waitMs: 100 });
    expect(attempt()).toEqual({ transport: "websocket", preferred: undefined, waitMs: 200 });
    expect(attempt(RESET)).toMatchObject({ transport: "websocket" }); // one failure says little
    expect(attempt()).toMatchObject({ transport: "websocket" });
  });

  it.each([RESET, { ...RESET, status: 399 }, { ...RESET, status: 500 }])(
    "probes WebSocket once after %j, and prefers it after two such probes that succeed",
    (failure) => {
      for (const preferred of [undefined, "connection reset"]) {
        expect(attempt(failure)).toMatchObject({ transport: "raw", preferred: undefined });
        expect(attempt()).toMatchObject({ transport: "websocket", preferred });
      }
      expect(attempt(RESET)).toMatchObject({ transport: "websocket" });
      expect(attempt(RESET)).toMatchObject({ transport: "websocket" });
    },
  );

  it("returns to the raw upgrade if the probe fails as well, and a plain success does not count as a probe", () => {
    attempt(RESET);
    expect(attempt(RESET)).toMatchObject({ transport: "websocket", preferred: undefined });
    for (let i = 0; i < 3; i++) expect(attempt()).toMatchObject({ transport: "raw", preferred: undefined });
    attempt(RESET);
    expect(attempt()).toMatchObject({ transport: "websocket", preferred: undefined });
    expect(policy.transport).toBe("raw");
  });
});

describe("a dial", () => {
  it("is stuck after 4 s", () => {
    expect(policy.isStuck(now)).toBe(false);
    policy.dialling(now);
    passes(4_000);
    expect(policy.isStuck(now)).toBe(false);
    passes(1);
    expect(policy.isStuck(now)).toBe(true);
    policy.dialled();
    expect(policy.isStuck(now)).toBe(false);
  });

  it("goes to the nodes of the newest region that has relays", () => {
    const hosts = (): string[] => policy.beginAttempt().map(({ target }) => target.host);
    expect(hosts()).toEqual(["a", "b"]);
    policy.updateRegion(region("c"));
    expect(hosts()).toEqual(["c"]);
    policy.updateRegion(region());
    expect(hosts()).toEqual(["c"]);
  });
});

it("gives a doubted relay five round trips, between 1.5 s and 3 s", () => {
  expect([undefined, 0, 300, 301, 500, 600, 601, 9_000].map(doubtPatienceMs)).toEqual([
    1_500, 1_500, 1_500, 1_505, 2_500, 3_000, 3_000, 3_000,
  ]);
});

describe("a preference that was wrong", () => {
  const failed = (failure: Parameters<RelayPolicy["upgradeFailed"]>[0]) => {
    policy.beginAttempt();
    const { transport } = policy;
    policy.upgrading();
    policy.upgradeFailed(failure);
    policy.attemptEnded(now);
    return transport;
  };

  it("ends when WebSocket fails twice: a page that stood in for the relay had refused the raw upgrade", () => {
    expect(failed({ ...RESET, status: 404 })).toBe("raw");
    expect([failed(RESET), failed({ ...RESET, status: 403 }), policy.transport]).toEqual([
      "websocket",
      "websocket",
      "raw",
    ]);
  });

  it("never ends if it was forced", () => {
    policy = policyWith({ forceWebSocket: true });
    for (let times = 0; times < 5; times++) expect(failed(RESET)).toBe("websocket");
  });
});

describe("an upgrade that something swallows", () => {
  const silent = (end: "nothing" | "derp" | "redial" = "nothing") => {
    policy.beginAttempt();
    const { transport } = policy;
    policy.upgrading();
    if (end === "derp") policy.answered();
    if (end === "redial") policy.retryAtOnce();
    passes(10_000);
    policy.attemptEnded(now);
    return transport;
  };

  it("is followed by the other kind", () => {
    expect([silent(), silent(), silent(), silent()]).toEqual(["raw", "websocket", "raw", "websocket"]);
  });

  it.each(["derp", "redial"] as const)("is none if the attempt ended by %s", (end) => {
    expect([silent(end), silent(end)]).toEqual(["raw", "raw"]);
  });

  it("is none if there was no stream to upgrade", () => {
    failedAttempt();
    expect(policy.transport).toBe("raw");
  });
});
