/**
 * The parts of ssh2 1.17 below its Client and Server classes: transport, key exchange and message codecs. They have no
 * published types. The dependency is pinned to an exact version; ssh2-protocol.ts is the only user.
 */
declare module "ssh2/lib/protocol/Protocol.js" {
  const Protocol: new (config: unknown) => unknown;
  export = Protocol;
}

declare module "ssh2/lib/protocol/kex.js" {
  interface KexInit {
    readonly lists: { readonly kex: { array: readonly string[] } };
  }
  const kex: { readonly KexInit: new (lists: unknown) => KexInit };
  export = kex;
}

declare module "ssh2/lib/protocol/keyParser.js" {
  interface ParsedKey {
    readonly type: string;
    getPrivatePEM(): string | null;
  }
  const keyParser: { parseKey(key: string | Uint8Array): Error | ParsedKey | ParsedKey[] };
  export = keyParser;
}

declare module "ssh2/lib/protocol/crypto.js" {
  const crypto: { readonly init: Promise<void>; releasePayload(data: Uint8Array): void };
  export = crypto;
}
